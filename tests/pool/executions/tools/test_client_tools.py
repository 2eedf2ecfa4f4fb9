import hashlib

import pytest
from pydantic import TypeAdapter, ValidationError

from pool.executions.request import ExecutionRequest, request_digest
from pool.executions.tools.client_tools import (
    MAX_CLIENT_TOOLS_BYTES,
    MAX_NAME_CHARACTERS,
    PREFIX,
    ClientTool,
    ToolChoice,
    ToolResult,
    ToolResultsRequest,
    results_digest,
)
from pool.storage.documents import document, read_document

WEATHER = {"name": "get_weather", "input_schema": {"properties": {"city": {"type": "string"}}}}


def problem_of(model: object, body: object) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(body)
    first = caught.value.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")


def test_a_tool_is_kept_by_the_name_of_its_caller_and_takes_an_object() -> None:
    tool = ClientTool.model_validate(WEATHER)

    assert tool.name == "get_weather"
    assert tool.input_schema == {**WEATHER["input_schema"], "type": "object"}
    assert ClientTool(name="now").input_schema == {"type": "object", "properties": {}}


@pytest.mark.parametrize("name", ["Read", "mcp__caller__x", "Bash", "a" * MAX_NAME_CHARACTERS])
def test_no_name_of_a_caller_is_that_of_another_tool(name: str) -> None:
    known_as = PREFIX + ClientTool(name=name).name

    assert known_as.startswith("mcp__caller__")
    assert len(known_as) <= 128


@pytest.mark.parametrize("name", ["", "two words", "a/b", "é", "a" * (MAX_NAME_CHARACTERS + 1)])
def test_a_name_that_the_api_does_not_take_is_refused(name: str) -> None:
    field, problem = problem_of(ClientTool, {"name": name})

    assert field == "name"
    assert "pattern" in problem


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "string"}, "should have the type object: a tool's input is an object"),
        (
            {"type": "object", "anyOf": [{}]},
            "has anyOf at its root, which the API does not take: use properties",
        ),
    ],
)
def test_an_input_that_no_tool_can_have_is_refused(schema: dict[str, object], problem: str) -> None:
    body = {"name": "x", "input_schema": schema}

    assert problem_of(ClientTool, body) == ("input_schema", problem)


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        (
            {"client_tools": [WEATHER, WEATHER]},
            "client_tools",
            "holds two tools of the name 'get_weather': name them apart",
        ),
        (
            {"client_tools": [{"name": "a", "description": "x" * MAX_CLIENT_TOOLS_BYTES}]},
            "client_tools",
            f"come to {MAX_CLIENT_TOOLS_BYTES + 103} bytes; the limit is {MAX_CLIENT_TOOLS_BYTES}",
        ),
        (
            {"tool_choice": {"type": "any"}},
            "",
            "tool_choice is about client_tools: send some, or leave it out",
        ),
        (
            {"client_tools": [WEATHER], "tool_choice": {"type": "tool", "name": "other"}},
            "",
            "tool_choice names 'other', which is none of the client_tools",
        ),
        (
            {"client_tools": [WEATHER], "tool_choice": {"type": "tool"}},
            "tool_choice",
            'a name belongs to the type "tool", and to no other',
        ),
        (
            {"client_tools": [WEATHER], "agent": {"mcp_servers": {"caller": {}}}},
            "",
            "agent.mcp_servers names a server 'caller', which is the client_tools' own: rename it",
        ),
    ],
)
def test_tools_that_do_not_fit_together_are_refused(
    body: dict[str, object], field: str, problem: str
) -> None:
    assert problem_of(ExecutionRequest, {"prompt": "hi"} | body) == (field, problem)


def test_a_choice_is_forced_where_the_model_has_none() -> None:
    choices = [ToolChoice(), ToolChoice(type="none"), ToolChoice(type="any")]
    choices.append(ToolChoice(type="tool", name="x"))

    assert [each.is_forced for each in choices] == [False, False, True, True]


def test_a_result_is_a_text_or_parts_in_their_order() -> None:
    plain = ToolResult.model_validate({"tool_use_id": "toolu_1", "content": "21 degrees"})
    parts = [{"type": "text", "text": "21 "}, {"type": "text", "text": "degrees"}]
    several = ToolResult.model_validate({"tool_use_id": "toolu_1", "content": parts})

    assert [each.model_dump() for each in plain.content] == [{"type": "text", "text": "21 degrees"}]
    assert [each.model_dump() for each in several.content] == parts
    assert ToolResult(tool_use_id="toolu_1").content == ()


def test_two_results_of_one_call_are_refused() -> None:
    result = {"tool_use_id": "toolu_1", "content": "21"}

    assert problem_of(ToolResultsRequest, {"results": [result, result]}) == (
        "results",
        "holds two results of 'toolu_1': send one for each call",
    )
    assert problem_of(ToolResultsRequest, {"results": []})[0] == "results"


def test_the_same_results_are_the_same_in_any_order() -> None:
    one, two = (ToolResult(tool_use_id=id_, content=()) for id_ in ("toolu_1", "toolu_2"))
    failed = one.model_copy(update={"is_error": True})

    assert results_digest((one, two)) == results_digest((two, one))
    assert results_digest((one, two)) != results_digest((failed, two))


def test_what_a_request_without_such_tools_is_known_by_has_not_changed() -> None:
    asked = ExecutionRequest(prompt="hi")
    of_the_wait = {"background", "stream", "cancel_on_disconnect"}
    before = asked.model_dump_json(
        exclude={*of_the_wait, "client_tools", "tool_choice", "model_settings", "messages"}
    )

    assert request_digest(asked) == hashlib.sha256(before.encode()).hexdigest()
    with_tools = ExecutionRequest(prompt="hi", client_tools=(ClientTool(name="now"),))
    assert request_digest(with_tools) != request_digest(asked)


def test_what_was_asked_with_tools_is_read_back_and_its_content_removed() -> None:
    tools = (ClientTool.model_validate(WEATHER | {"description": "private"}),)
    asked = ExecutionRequest(prompt="hi", client_tools=tools, tool_choice=ToolChoice(type="any"))

    assert read_document(ExecutionRequest, document(asked)) == asked
    assert "private" not in asked.without_content().model_dump_json()
