"""kill -9 of the whole service, Ray and all, once, and what came of all that was under way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from anthropic.types import Message

from api.demo.standin.behaviour import Behaviour, Call
from tests.support.callers.sent_events import SLOWLY, Sent, events_of, is_whole
from tests.support.services import shared_pool
from tests.support.services.service import Service, cost_of

pytestmark = pytest.mark.timeout(240)

MODEL = "sonnet"
CALL = Call(name="get_weather", input={"city": "Rome"}, id="toolu_of_the_killed")
TOOL = {"name": "get_weather", "description": "The weather.", "input_schema": {"type": "object"}}


@dataclass(frozen=True)
class Outlived:
    """What was begun before, and went on after."""

    read: list[Sent]
    """By one who had read ten events before, and asked for the rest after."""
    calls: Message
    results: Message
    first: Message
    second: Message
    handed_on: list[str]
    """Whose turns the API was told with the second one."""
    left: list[Path]
    """What the killed service left where it had its temporary files, before the next start."""
    executions: list[dict[str, Any]]
    billed: int
    """Nano-dollars, for all of it."""


@pytest.fixture(scope="module")
def outlived(tmp_path_factory: pytest.TempPathFactory) -> Outlived:
    pool = shared_pool.POOL.ready(tmp_path_factory.mktemp)
    service, standin = pool.service, pool.standin
    question = {"role": "user", "content": "Weather?"}
    before = {"role": "user", "content": "one, before a kill"}
    first = say(service, before)
    standin.next(Behaviour(kind="tool", calls=(CALL,)), Behaviour(text="It is mild."))
    calls = say(service, question, tools=[TOOL])
    read = list[Sent]()
    asked = {"prompt": SLOWLY, "stream": True}
    with service.client() as http, http.stream("POST", "/v1/executions", json=asked) as response:
        events = events_of(response)
        read += islice(events, 10)
        service.kill()
        with pytest.raises(httpx.TransportError):
            read.extend(events)
    left = list(pool.temporary.glob("cpool-*"))
    service.start()
    with service.client() as http:
        location, since = response.headers["location"], {"Last-Event-ID": read[-1]["id"]}
        with http.stream("GET", f"{location}/events", headers=since) as rest:
            read += events_of(rest)
        result = {"type": "tool_result", "tool_use_id": CALL.id, "content": "21 degrees"}
        results = say(service, question, answered(calls), user(result), tools=[TOOL])
        second = say(service, before, answered(first), user({"type": "text", "text": "two"}))
        asked = standin.requests.all(path="/v1/messages")[-1].body or {}
        handed_on = [each["role"] for each in asked["messages"] if each["role"] != "system"]
        ids = [pool_of(each)["execution_id"] for each in (results, first, second)]
        streamed = read[-1]["data"]["execution"]
        executions = [streamed, *(http.get(f"/v1/executions/{id_}").json() for id_ in ids)]
    billed = standin.bill.total().cost_nano_usd
    return Outlived(read, calls, results, first, second, handed_on, left, executions, billed)


def say(service: Service, *messages: Any, **of: Any) -> Message:
    key = service.operator["x-api-key"]
    with Anthropic(base_url=service.url, api_key=key, max_retries=0) as client:
        asked: Any = {"model": MODEL, "max_tokens": 100, "messages": messages, **of}
        answer: Message = client.messages.create(**asked)
    return answer


def user(part: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


def answered(message: Message) -> dict[str, Any]:
    return {"role": "assistant", "content": message.content}


def pool_of(message: Message) -> dict[str, Any]:
    part: dict[str, Any] = (message.model_extra or {})["pool"]
    return part


def test_a_reader_goes_on_where_it_was(outlived: Outlived) -> None:
    assert is_whole(outlived.read)


def test_the_results_of_a_round_of_tools_go_on_in_its_process(outlived: Outlived) -> None:
    calls, results = pool_of(outlived.calls), pool_of(outlived.results)

    assert outlived.calls.stop_reason == "tool_use"
    assert [each.text for each in outlived.results.content if each.type == "text"] == [
        "It is mild."
    ]
    assert (results["execution_id"], results["continued_by"]) == (calls["execution_id"], "process")


def test_a_conversation_goes_on_in_its_session(outlived: Outlived) -> None:
    first, second = pool_of(outlived.first), pool_of(outlived.second)

    assert first["session_id"] == second["session_id"]
    assert outlived.handed_on == ["user", "assistant", "user"]
    assert [each["attempts"][-1]["process"] for each in outlived.executions[-1:]] == ["cold"]


def test_what_the_killed_service_left_is_removed_by_the_next_start(outlived: Outlived) -> None:
    assert [each.exists() for each in outlived.left] == [False]


def test_all_of_it_is_billed_once(outlived: Outlived) -> None:
    assert {each["status"] for each in outlived.executions} == {"succeeded"}
    assert cost_of(outlived.executions) == outlived.billed
