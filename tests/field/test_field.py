"""What the CLI, an account or a client does in the field, and what must come of it for everybody:
one line a case (``*_cases.py``), gone through over each of the addresses.

What the CLI prints is printed by processes where the output itself is shown; everything else is
read without any (``printed_runs.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.support.clis.scripted_cli import SONNET
from tests.support.field.account_cases import DEAD
from tests.support.field.field_cases import CLI_OUTPUT, Case
from tests.support.field.field_pool import Field, OpenField
from tests.support.field.limit_cases import LIMITS, MONEY
from tests.support.field.model_cases import MODELS

PROMPT = "a question"
EXECUTIONS = "/v1/executions"
Body = Callable[[Mapping[str, Any]], dict[str, Any]]

CASES = (*CLI_OUTPUT, *DEAD, *MODELS, *LIMITS, *MONEY)
of_each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@of_each_case
async def test_a_waiting_caller_and_the_ledgers(case: Case, open_field: OpenField) -> None:
    field = await open_field(case, as_processes=case in CLI_OUTPUT)

    *_, answer = answers = await _gone_through(field, case, EXECUTIONS, _execution_body)

    told = answer.json()
    assert answer.status_code == case.comes.http, told
    assert answer.headers.get("Retry-After") == _seconds(case.comes.retry_after)
    if case.comes.http == 200:
        assert told["status"] == case.comes.status, told
        assert told["result"] == case.comes.result
        assert (told["error"] or {}).get("type") == case.comes.error, told["error"]
        assert _attempts(told) == case.comes.attempts
    asked = tuple(id_ for each in answers for id_, _ in _attempts(each.json()))
    assert asked == (case.comes.asked if case.comes.asked is not None else asked)
    await _has_come(field, case)
    listed = await field.http.get(EXECUTIONS)
    assert listed.status_code == 200
    assert len(listed.json()["items"]) == len([each for each in answers if _has_run(each.json())])


async def _has_come(field: Field, case: Case) -> None:
    """The ledgers, and what is known of every subscription."""
    states = {**dict.fromkeys(case.runs, "available"), **case.comes.states}
    assert await field.cost_usd() == case.comes.cost
    assert await field.states(states) == states
    assert await field.alerts(case.comes.alerts) == case.comes.alerts
    known = await field.windows()
    assert {id_: known[id_] for id_ in case.comes.windows} == case.comes.windows


@of_each_case
async def test_a_streaming_caller_hears_the_same(case: Case, open_field: OpenField) -> None:
    field = await open_field(case, as_processes=case in CLI_OUTPUT)

    *_, answer = await _gone_through(field, case, EXECUTIONS, _streamed_body)

    if answer.status_code != 200:  # nobody took it
        assert answer.status_code == case.comes.http
        return
    events = _events(answer.text)
    execution = events[-1]["execution"]
    assert (execution["status"], execution["result"]) == (case.comes.status, case.comes.result)
    assert (execution["error"] or {}).get("type") == case.comes.error
    if case.comes.result is not None and not _has_schema(case.request):
        assert _text(events) == case.comes.result


@of_each_case
async def test_a_client_of_anthropics_api(case: Case, open_field: OpenField) -> None:
    field = await open_field(case)

    *_, answer = await _gone_through(field, case, "/v1/messages", _messages_body)

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
    field = await open_field(case)

    *_, answer = await _gone_through(field, case, "/v1/chat/completions", _chat_body)

    expected = 503 if case.comes.dialects == 529 else case.comes.dialects
    assert answer.status_code == expected, answer.text
    if answer.status_code == 200:
        (choice,) = answer.json()["choices"]
        assert choice["message"]["content"] == case.comes.text
        assert choice["finish_reason"] == _FINISH[case.comes.stop_reason]
    else:
        assert answer.json()["error"]["message"]


_FINISH = {"end_turn": "stop", "max_tokens": "length", "refusal": "content_filter"}


async def _gone_through(field: Field, case: Case, address: str, body: Body) -> list[Any]:
    """Everything that happens, and the answers to all requests, that of the case last."""
    answers = []
    for step in (*case.before, case.request):
        if isinstance(step, timedelta):
            await field.passes(step)
        else:
            await field.passes(timedelta(0))
            answers.append(await field.http.post(address, json=body(step)))
    return answers


def _has_schema(request: Mapping[str, Any]) -> bool:
    return "json_schema" in request


def _execution_body(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt": PROMPT, **request}


def _streamed_body(request: Mapping[str, Any]) -> dict[str, Any]:
    return {**_execution_body(request), "stream": True}


def _messages_body(request: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "user", "content": request.get("prompt", PROMPT)}
    model = request.get("model", SONNET)
    body: dict[str, Any] = {"model": model, "max_tokens": 1000, "messages": [message]}
    if _has_schema(request):
        schema = {"type": "json_schema", "schema": request["json_schema"]}
        body["output_config"] = {"format": schema}
    return body


def _chat_body(request: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "user", "content": request.get("prompt", PROMPT)}
    body: dict[str, Any] = {"model": request.get("model", SONNET), "messages": [message]}
    if _has_schema(request):
        schema = {"name": "answer", "schema": request["json_schema"]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _seconds(after: timedelta | None) -> str | None:
    return None if after is None else str(round(after.total_seconds()))


def _attempts(told: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Who was tried, and with what outcome; nothing where the answer is no execution."""
    return tuple((each["subscription_id"], each["outcome"]) for each in told.get("attempts", ()))


def _has_run(told: dict[str, Any]) -> bool:
    """Whether there is an execution: a request that nobody took has none."""
    return "attempts" in told or "(ask again as a new request)" in told.get("detail", "")


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
