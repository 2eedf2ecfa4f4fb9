from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from pydantic import ValidationError

from actors.logs import JsonFormatter
from pool.errors import StoreError
from pool.execution import ExecutionRequest


def logged(error: Exception | None = None, **extra: Any) -> dict[str, Any]:
    """What the formatter makes of an event."""
    record = logging.makeLogRecord({**extra, "name": "actors.router", "levelname": "WARNING"})
    record.msg = "subscription does not answer"
    if error is not None:
        with pytest.raises(type(error)) as caught:
            raise error
        record.exc_info = (type(error), error, caught.tb)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_line_is_an_event_with_its_fields() -> None:
    line = logged(subscription_id="sub1")

    assert line["event"] == "subscription does not answer"
    assert line["subscription_id"] == "sub1"
    assert (line["level"], line["logger"]) == ("warning", "actors.router")
    assert line["time"].endswith("Z")


def test_an_extra_field_never_hides_the_event() -> None:
    assert logged(level="x", event="y")["event"] == "subscription does not answer"


def test_an_error_of_the_pool_is_told_in_full() -> None:
    exception = logged(StoreError("sub1", "the disk is full"))["exception"]

    assert exception["type"] == "StoreError"
    assert exception["message"] == "store sub1: the disk is full"
    assert "logged" in exception["at"][0]


def test_another_error_is_told_without_the_values_it_holds() -> None:
    try:
        ExecutionRequest.model_validate({"prompt": ["the-secret-plan"]})
    except ValidationError as error:
        line = logged(error)

    assert line["exception"]["type"] == "ValidationError"
    assert "the-secret-plan" not in json.dumps(line)


def test_what_is_no_json_is_told_as_text() -> None:
    assert logged(where=StoreError("sub1", "full"))["where"] == "store sub1: full"
