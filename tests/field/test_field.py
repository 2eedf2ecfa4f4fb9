"""What the CLI, an account or a client does in the field, and what must come of it for everybody:
one line a case (``field_cases.py``), gone through over each of the addresses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from field_cases import CASES, Case
from field_pool import Field, OpenField

PROMPT = "a question"
EXECUTIONS = "/v1/executions"

of_each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def _executed(field: Field, case: Case) -> list[Any]:
    body = {"prompt": PROMPT, **case.request}
    return [await field.http.post(EXECUTIONS, json=body) for _ in range(case.requests)]


@of_each_case
async def test_a_waiting_caller_and_the_books(case: Case, open_field: OpenField) -> None:
    field = await open_field(case.runs, **case.settings)

    *_, answer = await _executed(field, case)

    told = answer.json()
    assert answer.status_code == case.comes.http, told
    if case.comes.http == 200:
        assert told["status"] == case.comes.status, told
        assert told["result"] == case.comes.result
        assert (told["error"] or {}).get("type") == case.comes.error, told["error"]
        attempts = tuple((each["subscription_id"], each["outcome"]) for each in told["attempts"])
        assert attempts == case.comes.attempts
    assert await field.cost_usd() == case.comes.cost
    assert await field.states() == {**dict.fromkeys(case.runs, "available"), **case.comes.states}
    assert await field.alerts(case.comes.alerts) == case.comes.alerts
    listed = await field.http.get(EXECUTIONS)
    assert listed.status_code == 200
    assert len(listed.json()["items"]) == case.requests


@of_each_case
async def test_a_streaming_caller_hears_the_same(case: Case, open_field: OpenField) -> None:
    field = await open_field(case.runs, **case.settings)
    body = {"prompt": PROMPT, "stream": True, **case.request}

    for _ in range(case.requests):
        answer = await field.http.post(EXECUTIONS, json=body)

    if answer.status_code != 200:  # nobody took it
        assert answer.status_code == case.comes.http
        return
    events = _events(answer.text)
    execution = events[-1]["execution"]
    assert (execution["status"], execution["result"]) == (case.comes.status, case.comes.result)
    assert (execution["error"] or {}).get("type") == case.comes.error
    if case.comes.result is not None and not case.has_schema:
        assert _text(events) == case.comes.result


@of_each_case
async def test_a_client_of_anthropics_api(case: Case, open_field: OpenField) -> None:
    answer = await _asked(open_field, case, "/v1/messages", _messages_body)

    assert answer.status_code == case.comes.dialects, answer.text
    told = answer.json()
    if answer.status_code == 200:
        text = "".join(each.get("text", "") for each in told["content"])
        assert text == case.comes.text
        assert told["stop_reason"] == case.comes.stop_reason
    else:
        assert told["error"]["type"] == case.comes.messages_error, told


@of_each_case
async def test_a_client_of_openais_api(case: Case, open_field: OpenField) -> None:
    answer = await _asked(open_field, case, "/v1/chat/completions", _chat_body)

    expected = 503 if case.comes.dialects == 529 else case.comes.dialects
    assert answer.status_code == expected, answer.text
    if answer.status_code == 200:
        (choice,) = answer.json()["choices"]
        assert choice["message"]["content"] == case.comes.text
        assert choice["finish_reason"] == _FINISH[case.comes.stop_reason]
    else:
        assert answer.json()["error"]["message"]


_FINISH = {"end_turn": "stop", "max_tokens": "length", "refusal": "content_filter"}


async def _asked(
    open_field: OpenField, case: Case, address: str, body: Callable[[Case], dict[str, Any]]
) -> Any:
    field = await open_field(case.runs, **case.settings)
    for _ in range(case.requests):
        answer = await field.http.post(address, json=body(case))
    return answer


def _messages_body(case: Case) -> dict[str, Any]:
    message = {"role": "user", "content": PROMPT}
    body = {"model": case.model, "max_tokens": 1000, "messages": [message]}
    if case.has_schema:
        schema = {"type": "json_schema", "schema": case.request["json_schema"]}
        body["output_config"] = {"format": schema}
    return body


def _chat_body(case: Case) -> dict[str, Any]:
    body = {"model": case.model, "messages": [{"role": "user", "content": PROMPT}]}
    if case.has_schema:
        schema = {"name": "answer", "schema": case.request["json_schema"]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _events(stream: str) -> list[dict[str, Any]]:
    lines = (line.removeprefix("data: ") for line in stream.splitlines() if line[:6] == "data: ")
    return [json.loads(line) for line in lines]


def _text(events: list[dict[str, Any]]) -> str:
    """The text as a caller that reads along has it at the end."""
    text = ""
    for event in events:
        match event:
            case {"type": "text", "text": str(piece)}:
                text += piece
            case {"type": "withdrawn", "characters": int(count)}:
                text = text[: len(text) - count]
            case _:
                pass
    return text
