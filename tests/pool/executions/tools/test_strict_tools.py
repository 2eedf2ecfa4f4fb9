"""Calls of strict tools: which are refused, and what the model is told."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from pool.executions.tools.client_tools import ClientTool, ToolCall
from pool.executions.tools.strict_tools import StrictTools

SCHEMA = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = StrictTools.of(
    (
        ClientTool(name="weather", input_schema=SCHEMA, strict=True),
        ClientTool(name="loose", input_schema=SCHEMA),
    )
)


def call(id_: str, name: str = "weather", **given: Any) -> ToolCall:
    return ToolCall(id=id_, name=name, input=given)


def test_calls_that_conform_are_the_callers() -> None:
    assert TOOLS.refused([call("a", city="Rome"), call("b", "loose", city=1)]) == {}
    assert not StrictTools.of([ClientTool(name="loose")])


def test_one_that_does_not_has_all_of_its_answer_refused_and_says_what_is_wrong() -> None:
    answers = TOOLS.refused([call("a", city="Rome"), call("b", city=7), call("c", "loose")])

    assert list(answers) == ["a", "b", "c"]
    assert "7 is not of type 'string'" in answers["b"]
    assert answers["a"] == answers["c"]
    assert "another call" in answers["a"]


def test_a_reader_is_copied_without_its_schemas() -> None:
    assert deepcopy(TOOLS) is TOOLS


def test_a_strict_tool_whose_schema_holds_nothing_is_refused_with_the_request() -> None:
    with pytest.raises(ValidationError, match="the input_schema cannot be applied"):
        ClientTool(name="weather", input_schema={"$ref": "#/$defs/missing"}, strict=True)
