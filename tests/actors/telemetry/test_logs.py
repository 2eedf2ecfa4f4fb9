from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from pydantic import ValidationError

from actors.telemetry import logs
from actors.telemetry.logs import JsonFormatter
from api.web.request.request_id import RequestIds
from pool.errors import StoreError
from pool.executions.request import ExecutionRequest
from tests.support.pools.localpool import LocalPool


def logged(error: Exception | None = None, **extra: Any) -> dict[str, Any]:
    """What the formatter makes of an event."""
    record = logging.makeLogRecord(
        {**extra, "name": "actors.router.router", "levelname": "WARNING"}
    )
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
    assert (line["level"], line["logger"]) == ("warning", "actors.router.router")
    assert line["time"].endswith("Z")


def test_an_extra_field_never_hides_the_event() -> None:
    assert logged(level="x", event="y")["event"] == "subscription does not answer"


@pytest.fixture
def owner() -> Iterator[None]:
    logs.belongs_to(subscription_id="sub1")
    yield
    logs.belongs_to()


def test_a_line_bears_the_ids_of_its_process_and_its_task(owner: None) -> None:
    copy_context().run(_about_an_execution)


def _about_an_execution() -> None:
    logs.about(execution_id="exec_1")
    line = logged()
    assert (line["subscription_id"], line["execution_id"]) == ("sub1", "exec_1")
    assert logged(execution_id="exec_2")["execution_id"] == "exec_2"
    logs.about(execution_id=None)
    assert "execution_id" not in logged()


async def test_what_one_execution_starts_for_another_bears_the_others_id(
    local_pool: LocalPool,
) -> None:
    life = local_pool.actors.subscriptions["sub1"]._context

    async def inner() -> dict[str, Any]:
        return logged()

    async def outer(execution_id: str | None) -> dict[str, Any]:
        return await life.spawn(inner(), execution_id)

    told = [await life.spawn(outer(id_), "exec_1") for id_ in ("exec_2", None)]

    assert [line.get("execution_id") for line in told] == ["exec_2", None]


async def test_a_line_of_a_request_bears_its_id(local_pool: LocalPool) -> None:
    lines: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        lines.append({**logged(), "expected": scope["state"]["request_id"]})

    await asyncio.create_task(RequestIds(app)({"type": "http"}, None, None))  # type: ignore[arg-type]

    assert lines[0]["request_id"] == lines[0]["expected"]


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
