"""Callers' own tools with the real CLI: the run waits for its caller, and goes on with the results,
in its process or, where that is gone, by a transcript; billed once, and each round for itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from api.demo.standin.behaviour import Behaviour, Call
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from pool.claude.process.process_run import ProcessRun
from pool.errors import Conflict, InvalidRequest, NotFound
from pool.executions.execution import Execution
from pool.executions.progress import Ended, Text, ToolCalled, ToolCallPiece, WaitsForCaller
from pool.executions.request import ExecutionRequest
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ClientTool, ToolChoice, ToolResult, ToolSettings
from pool.money import nano_usd
from pool.storage.ledger.ledger import Ledger
from pool.subscriptions.reporting import SubscriptionPolicy
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import report_of
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.suite.in_full import IS_FULL
from tests.support.suite.waiting import until
from tests.support.values.manual_clock import ManualClock
from tests.support.values.pictures import PNG

MODEL = "claude-sonnet-4-5"
TOKEN = "test-token-sub1"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ClientTool(name="get_weather", description="The weather.", input_schema=SCHEMA)
WAITS = ExecutionStatus.WAITING_FOR_CALLER


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app()) as server:
        yield server


@pytest.fixture
async def pool(api: Server, tmp_path: Path) -> AsyncIterator[LocalPool]:
    api.standin.reset()
    clock = ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "slots": 1, "keep_seconds": 60, "reuses": True}
    async with real_cli_pool(tmp_path, api.url, clock, **how) as pool:
        yield pool


def weather_of(*cities: str, say: str = "") -> Behaviour:
    calls = tuple(
        Call(name="get_weather", input={"city": city}, id=f"toolu_{city}") for city in cities
    )
    return Behaviour(kind="tool", calls=calls, text=say)


def wanted(**fields: Any) -> ExecutionRequest:
    return ExecutionRequest(
        **{"prompt": "weather?", "model": MODEL, "client_tools": (WEATHER,), **fields}
    )


def result(city: str, text: str = "21") -> ToolResult:
    return ToolResult.model_validate({"tool_use_id": f"toolu_{city}", "content": text})


def last_turn(api: Server) -> list[dict[str, Any]]:
    """What the API was told last."""
    body = api.standin.requests.all(path="/v1/messages")[-1].body or {}
    content: list[dict[str, Any]] = body["messages"][-1]["content"]
    return content


def results_told(api: Server) -> list[dict[str, Any]]:
    return [block for block in last_turn(api) if block["type"] == "tool_result"]


def billed(api: Server) -> list[int]:
    return [line.cost_nano_usd or 0 for line in api.standin.bill.lines(TOKEN)]


def costs(execution: Execution) -> list[int]:
    return [nano_usd(each.usage.cost_usd) for each in execution.rounds]


async def test_a_run_waits_for_its_caller_and_goes_on_in_its_process(
    api: Server, pool: LocalPool
) -> None:
    api.standin.next(weather_of("Rome", "Oslo", say="Let me see."), weather_of("Bonn"))

    first = await pool.client.execute(wanted())
    report = await report_of(pool, "sub1")
    second = await pool.client.tool_results(first.id, [result("Rome"), result("Oslo", "3")])
    second = await pool.client.ended(second)
    told = results_told(api)
    third = await pool.client.ended(await pool.client.tool_results(first.id, [result("Bonn")]))

    assert [first.status, second.status, third.status] == [WAITS, WAITS, ExecutionStatus.SUCCEEDED]
    assert [(call.id, call.name, call.input) for call in first.tool_calls] == [
        ("toolu_Rome", "get_weather", {"city": "Rome"}),
        ("toolu_Oslo", "get_weather", {"city": "Oslo"}),
    ]
    assert (report.running, report.waiting_for_caller) == (0, 1)
    assert [each["tool_use_id"] for each in told] == ["toolu_Rome", "toolu_Oslo"]
    assert [each.text for each in third.rounds] == ["Let me see.", "", third.result]
    assert third.continued_by == "process"
    assert costs(third) == billed(api)
    assert nano_usd(third.usage.cost_usd) == sum(billed(api))
    assert len(third.attempts) == 1


async def test_it_holds_no_slot_while_it_waits_and_takes_one_before_all_that_queue(
    api: Server, pool: LocalPool
) -> None:
    api.standin.next(weather_of("Rome"))
    waiting = await pool.client.execute(wanted())

    other = await pool.client.execute(ExecutionRequest(prompt="[[standin text=4]]", model=MODEL))
    api.standin.next(Behaviour(kind="stall"))
    stalled = await pool.client.start(ExecutionRequest(prompt="stall", model=MODEL))
    await asyncio.to_thread(api.standin.wait_until, lambda: api.standin.stalled == 1)
    queued = await pool.client.start(ExecutionRequest(prompt="later", model=MODEL))
    back = await pool.client.tool_results(waiting.id, [result("Rome")])
    api.standin.release()
    ended = [await pool.client.ended(each) for each in (stalled, back, queued)]

    assert other.result == "4"
    assert back.status is ExecutionStatus.QUEUED
    assert {each.status for each in ended} == {ExecutionStatus.SUCCEEDED}
    prompts = [each.last_user_text() for each in api.standin.requests.all(path="/v1/messages")]
    assert prompts[-2:] == ["weather?", "later"]


async def test_what_is_streamed_are_the_calls_in_pieces_and_then_the_callers_turn(
    api: Server, pool: LocalPool
) -> None:
    api.standin.next(weather_of("Rome", "Oslo", say="Hm."))

    events = [each async for each in pool.client.stream(wanted())]
    waits = events[-1].progress
    assert isinstance(waits, WaitsForCaller)
    await pool.client.tool_results(waits.execution_id, [result("Rome"), result("Oslo")])
    rest = [each async for each in pool.client.events(waits.execution_id, after=waits.round.cursor)]
    again = [each async for each in pool.client.events(waits.execution_id)]

    told = [each.progress for each in events]
    pieces = [each for each in told if isinstance(each, ToolCallPiece)]
    by_id = {id_: "".join(p.partial_json for p in pieces if p.id == id_) for id_ in CALLED}
    assert by_id == {"toolu_Rome": '{"city": "Rome"}', "toolu_Oslo": '{"city": "Oslo"}'}
    assert [each.call.id for each in told if isinstance(each, ToolCalled)] == list(CALLED)
    assert "".join(each.text for each in told if isinstance(each, Text)) == "Hm."
    assert (events[-1].cursor, waits.round.number) == (waits.round.cursor, 0)
    assert isinstance(rest[-1].progress, Ended)
    assert [each.cursor for each in again] == [each.cursor for each in (*events, *rest)]


CALLED = ("toolu_Rome", "toolu_Oslo")


async def test_results_that_are_wrong_are_refused_by_name_and_the_same_ones_are_taken_once(
    api: Server, pool: LocalPool
) -> None:
    api.standin.next(weather_of("Rome", "Oslo"))
    waiting = await pool.client.execute(wanted())
    both = [result("Rome"), result("Oslo")]

    for results, problem in (
        ([result("Rome")], "no result for 'toolu_Oslo'"),
        ([*both, result("Bonn")], "'toolu_Bonn' is none of the calls"),
        ([result("Bonn")], "'toolu_Bonn': this execution has made no such call"),
    ):
        with pytest.raises(InvalidRequest, match=problem):
            await pool.client.tool_results(waiting.id, results)
    given = (pool.client.tool_results(waiting.id, results) for results in (both, both[::-1]))
    ended = [await pool.client.ended(each) for each in await asyncio.gather(*given)]
    with pytest.raises(Conflict, match="other results of these calls came before"):
        await pool.client.tool_results(waiting.id, [result("Rome", "0"), result("Oslo")])

    assert {each.id for each in ended} == {waiting.id}
    assert len(billed(api)) == 2
    found = await pool.client.execution_of_calls(["toolu_Oslo", "toolu_Rome"])
    assert (found.id, found.round_after(["toolu_Oslo"])) == (waiting.id, 1)
    with pytest.raises(NotFound, match="toolu_Bonn"):
        await pool.client.execution_of_calls(["toolu_Bonn"])


async def test_texts_images_and_errors_reach_the_model_as_they_are(
    api: Server, pool: LocalPool
) -> None:
    api.standin.next(weather_of("Rome", "Oslo"))
    waiting = await pool.client.execute(wanted())
    image = {"type": "image", "data": PNG, "media_type": "image/png"}
    long = "x" * 300_000
    seen = {"tool_use_id": "toolu_Rome", "content": [image, {"type": "text", "text": long}]}
    failed = {"tool_use_id": "toolu_Oslo", "content": "no such city", "is_error": True}

    results = [ToolResult.model_validate(each) for each in (seen, failed)]
    await pool.client.ended(await pool.client.tool_results(waiting.id, results))

    told = {each["tool_use_id"]: each for each in results_told(api)}
    rome, oslo = told["toolu_Rome"], told["toolu_Oslo"]
    assert rome["content"][0]["source"]["data"] == PNG
    texts = [block["text"] for block in rome["content"] if block["type"] == "text"]
    assert any(long in text for text in texts)
    assert oslo["is_error"] is True
    assert "no such city" in str(oslo["content"])


FORCED = [{"type": "any"}, {"type": "tool", "name": "get_weather"}]
"""Of a strict tool the second one is forced in short, too."""


@pytest.mark.parametrize("choice", FORCED if IS_FULL else FORCED[:1])
async def test_a_call_that_was_forced_is_the_answer_and_its_results_are_gone_on_from(
    api: Server, pool: LocalPool, choice: dict[str, str]
) -> None:
    forced = await pool.client.execute(wanted(tool_choice=ToolChoice(**choice)))
    asked = api.standin.requests.all(path="/v1/messages")[-1].body or {}
    (call,) = forced.rounds[-1].tool_calls
    given = [ToolResult.model_validate({"tool_use_id": call.id, "content": "21"})]
    went_on = await pool.client.ended(await pool.client.tool_results(forced.id, given))

    assert (forced.status, forced.stop_reason) == (ExecutionStatus.SUCCEEDED, "tool_use")
    assert (call.name, list(call.input)) == ("get_weather", ["city"])
    assert asked["tool_choice"]["type"] == choice["type"]
    assert went_on.status is ExecutionStatus.SUCCEEDED, went_on.error
    assert (went_on.continues, went_on.continued_by) == (forced.id, "transcript")
    body = api.standin.requests.all(path="/v1/messages")[-1].body or {}
    assert "tool_choice" not in body
    assert [tool["name"] for tool in body["tools"]] == ["mcp__caller__get_weather"]
    assert [each["tool_use_id"] for each in results_told(api)] == [call.id]
    assert [*costs(forced), *costs(went_on)] == billed(api)


async def test_none_calls_none_and_no_parallel_calls_are_asked_of_the_api(
    api: Server, pool: LocalPool
) -> None:
    for choice in (ToolChoice(type="none"), ToolChoice(parallel=False)):
        await pool.client.execute(wanted(tool_choice=choice))

    asked = [each.body or {} for each in api.standin.requests.all(path="/v1/messages")]
    assert [each["tool_choice"] for each in asked] == [
        {"type": "none"},
        {"type": "auto", "disable_parallel_tool_use": True},
    ]


async def test_a_program_has_its_functions_called(api: Server, pool: LocalPool) -> None:
    api.standin.next(weather_of("Rome", "Oslo"))

    async def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"{city} is sunny"

    request = ExecutionRequest(prompt="weather?", model=MODEL)
    ended = await pool.client.execute(request, tools={"get_weather": get_weather})

    assert ended.status is ExecutionStatus.SUCCEEDED
    texts = [str(each["content"]) for each in results_told(api)]
    assert [name in text for name, text in zip(("Rome", "Oslo"), texts, strict=True)] == [True] * 2
    body = api.standin.requests.all(path="/v1/messages")[-1].body or {}
    assert body["tools"][0]["description"] == "The weather of a city."


async def kill(pool: LocalPool, execution: Execution) -> None:
    """End its process and its supervisor as a crash does."""
    live = pool.actors.subscription("sub1")._executions.get(execution.id)
    assert live is not None
    assert live.run is not None
    started = live.run.directory.started()
    assert started is not None
    both = (started.supervisor, started.cli)
    for process in both:
        os.kill(process.pid, signal.SIGKILL)
    await until(lambda: not any(process.is_alive() for process in both))


def was_found_again(pool: LocalPool, execution: Execution) -> bool:
    """Until then its process is thought to live, and results are taken for it."""
    live = pool.actors.subscription("sub1")._executions.get(execution.id)
    return live is None or live.run is not None


async def test_it_goes_on_after_a_restart_in_the_midst_of_its_callers_turn(
    api: Server, pool: LocalPool
) -> None:
    api.standin.next(weather_of("Rome"), weather_of("Oslo"))
    waiting = await pool.client.execute(wanted())

    await pool.restart("sub1")
    found = await pool.client.execution_of_calls(["toolu_Rome"])
    second = await pool.client.ended(await pool.client.tool_results(waiting.id, [result("Rome")]))
    await pool.restart("sub1")
    third = await pool.client.ended(await pool.client.tool_results(waiting.id, [result("Oslo")]))

    assert (found.status, second.status) == (WAITS, WAITS)
    assert [call.id for call in second.tool_calls] == ["toolu_Oslo"]
    assert (third.status, third.continued_by) == (ExecutionStatus.SUCCEEDED, "process")
    assert costs(third) == billed(api)


@pytest.mark.parametrize("comes_back", [False, True] if IS_FULL else [True])
async def test_results_go_on_by_a_transcript_where_the_process_is_gone(
    api: Server, pool: LocalPool, comes_back: bool
) -> None:
    api.standin.next(weather_of("Rome", "Oslo", say="Let me see."))
    waiting = await pool.client.execute(wanted(system_prompt="Be brief."))
    if comes_back:
        await kill(pool, waiting)
        await pool.restart("sub1")
        await until(lambda: was_found_again(pool, waiting))
    else:
        await kill(pool, waiting)
    results = [result("Rome"), result("Oslo")]

    given = (pool.client.tool_results(waiting.id, results) for _ in range(2))
    first, second = await asyncio.gather(*given)
    ended = await pool.client.ended(first)
    lost = await pool.client.result(waiting.id)

    assert first.id == second.id != waiting.id
    assert ended.status is ExecutionStatus.SUCCEEDED, ended.error
    assert (ended.continues, ended.continued_by) == (waiting.id, "transcript")
    assert (lost.status, lost.usage.partial) == (ExecutionStatus.INTERRUPTED, False)
    assert [*costs(lost), *costs(ended)] == billed(api)
    body = api.standin.requests.all(path="/v1/messages")[-1].body or {}
    assert body["system"][-1]["text"] == "Be brief."
    said = [block.get("text") for block in body["messages"][-2]["content"]]
    assert said[0] == "Let me see."
    assert [each["tool_use_id"] for each in results_told(api)] == list(CALLED)


async def test_results_that_come_as_their_process_dies_can_be_given_once_more(
    api: Server, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen alive a moment before they were given to it."""
    api.standin.next(weather_of("Rome"))
    waiting = await pool.client.execute(wanted())
    monkeypatch.setattr(ProcessRun, "_lives", lambda _: True)
    await kill(pool, waiting)

    first = await pool.client.ended(await pool.client.tool_results(waiting.id, [result("Rome")]))
    monkeypatch.undo()
    second = await pool.client.ended(await pool.client.tool_results(waiting.id, [result("Rome")]))
    third = await pool.client.tool_results(waiting.id, [result("Rome")])

    assert (first.id, first.status) == (waiting.id, ExecutionStatus.INTERRUPTED)
    assert first.error is not None
    assert "the results of its calls can still be sent" in first.error.message
    assert (second.continues, second.continued_by) == (waiting.id, "transcript")
    assert second.status is ExecutionStatus.SUCCEEDED, second.error
    assert third.id == second.id
    assert [*costs(first), *costs(second)] == billed(api)


async def test_a_wait_ends_by_the_clock_and_the_longest_of_too_many(
    api: Server, tmp_path: Path
) -> None:
    api.standin.reset()
    tools = ToolSettings(wait_seconds=3, max_waiting_per_key=1)
    policy, clock = SubscriptionPolicy(tools=tools), ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "policy": policy}
    async with real_cli_pool(tmp_path, api.url, clock, **how) as pool:
        api.standin.next(weather_of("Rome"), weather_of("Oslo"))
        first = await pool.client.execute(wanted())
        second = await pool.client.execute(wanted())
        async with asyncio.timeout(20):
            ended = [await final(pool, each) for each in (first, second)]
        late = await pool.client.ended(await pool.client.tool_results(first.id, [result("Rome")]))

    assert [each.status for each in ended] == [ExecutionStatus.INTERRUPTED] * 2
    assert ended[0].finished_at is not None
    assert ended[0].error is not None
    assert ended[0].error.type == "no_tool_results"
    assert (late.status, late.continues) == (ExecutionStatus.SUCCEEDED, first.id)
    bill = sorted([*costs(ended[0]), *costs(ended[1]), *costs(late)])
    assert bill == sorted(billed(api))


async def final(pool: LocalPool, execution: Execution) -> Execution:
    """The execution once it has ended."""
    async for event in pool.client.events(execution.id):
        if isinstance(event.progress, Ended):
            return event.progress.execution
    raise AssertionError("it has no end")


def step_of(row: ExecutionRow) -> str:
    """Which step of a round a write is."""
    if row.outcome is not None:
        return "end"
    if row.status is WAITS:
        return "results" if row.results_came else "calls"
    return "continuation" if row.continued_by else "start"


STEPS, WHEN = ("calls", "results", "continuation", "end"), ("before", "after")
SOME = [("results", "after"), ("continuation", "before")]
LOSSES = list(product(STEPS, WHEN)) if IS_FULL else SOME
"""All of them ``tests/chaos/test_crash_points_of_rounds.py`` has in short, too, by another CLI."""


@pytest.mark.parametrize(("step", "when"), LOSSES)
async def test_a_subscription_that_is_lost_at_a_step_of_a_round_goes_on_and_is_billed_once(
    api: Server, pool: LocalPool, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    lost = asyncio.Event()

    def losing(write: Any, row_of: Any) -> Any:
        async def call(ledger: Ledger, written: Any) -> Any:
            if step_of(row_of(written)) != step or lost.is_set():
                return await write(ledger, written)
            if when == "after":
                await write(ledger, written)
            lost.set()
            return await asyncio.Event().wait()

        return call

    monkeypatch.setattr(Ledger, "update", losing(Ledger.update, lambda row: row))
    monkeypatch.setattr(Ledger, "settle", losing(Ledger.settle, lambda end: end.row))
    api.standin.next(weather_of("Rome", "Oslo"))

    async def ask() -> Execution:
        execution = await pool.client.execute(wanted(), idempotency_key="round")
        if execution.status is WAITS:
            results = [result("Rome"), result("Oslo")]
            execution = await pool.client.tool_results(execution.id, results)
        return await pool.client.ended(execution)

    asking = asyncio.create_task(ask())
    await lost.wait()
    asking.cancel()
    await pool.restart("sub1")
    ended = await ask()

    assert ended.status is ExecutionStatus.SUCCEEDED, ended.error
    assert costs(ended) == billed(api)
    records = (await pool.client.usage("sub1")).items
    assert [nano_usd(each.usage.cost_usd) for each in records] == [sum(billed(api))]


async def test_a_cli_whose_supervisor_alone_is_killed_asks_nothing_more(
    api: Server, pool: LocalPool
) -> None:
    """In the midst of a call of a tool, with nobody there to end it: its input ends, at which it
    would tell the API that the call has failed. The next activation ends it.
    """
    api.standin.next(weather_of("Rome"))
    waiting = await pool.client.execute(wanted())
    live = pool.actors.subscription("sub1")._executions.get(waiting.id)
    assert live is not None
    assert live.run is not None
    started = live.run.directory.started()
    assert started is not None
    spec = pool.actors.subscription("sub1")._context.state.spec
    await pool.actors.deactivate("sub1")
    live.run._settling.cancel()  # type: ignore[attr-defined]  # it goes with its process as a rule

    os.kill(started.supervisor.pid, signal.SIGKILL)
    await until(lambda: not started.supervisor.is_alive())
    await asyncio.sleep(2)  # it takes 0.1 s to ask
    asked = len(api.standin.requests.all(path="/v1/messages"))
    is_there = started.cli.is_alive()
    await pool.actors.activate(spec)
    async with asyncio.timeout(20):
        while not (ended := await pool.client.result(waiting.id)).status.is_final:
            await asyncio.sleep(0.05)

    assert asked == len(billed(api)) == 1
    assert (is_there, started.cli.is_alive()) == (True, False)
    assert ended.status is ExecutionStatus.INTERRUPTED
    assert nano_usd(ended.usage.cost_usd) == sum(billed(api))


STRICT = WEATHER.model_copy(update={"strict": True})


async def test_who_calls_a_strict_tool_otherwise_calls_again_in_the_same_run(
    api: Server, pool: LocalPool
) -> None:
    """And where it was forced to call, it is the same. A call beside goes with the wrong one."""
    for choice in (ToolChoice(), ToolChoice(type="tool", name="get_weather")):
        api.standin.reset()
        wrong = tuple(
            Call(name="get_weather", input={"city": city}, id=f"toolu_{choice.type}_{at}")
            for at, city in enumerate(("Oslo", None))
        )
        api.standin.next(
            Behaviour(kind="tool", calls=wrong, text="Let me see."), weather_of("Rome")
        )

        made = await pool.client.execute(wanted(client_tools=(STRICT,), tool_choice=choice))

        assert [call.id for call in made.tool_calls or made.rounds[0].tool_calls] == ["toolu_Rome"]
        assert [each.number for each in made.rounds] == [0]
        assert nano_usd(made.rounds[0].usage.cost_usd) == sum(billed(api))
        results = results_told(api)
        assert [each["is_error"] for each in results] == [True, True]
        assert "another call" in str(results[0]["content"])
        assert "None is not of type 'string'" in str(results[1]["content"])
        if made.status is WAITS:
            ended = await pool.client.tool_results(made.id, [result("Rome")])
            assert (await pool.client.ended(ended)).status is ExecutionStatus.SUCCEEDED


async def test_a_model_that_keeps_to_no_schema_fails_clearly_and_is_billed(
    api: Server, pool: LocalPool
) -> None:
    calls = [Call(name="get_weather", input={"town": n}, id=f"toolu_{n}") for n in range(9)]
    api.standin.next(*(Behaviour(kind="tool", calls=(call,)) for call in calls))

    ended = await pool.client.execute(wanted(client_tools=(STRICT,)))
    api.standin.reset()
    events = [event.progress.type async for event in pool.client.events(ended.id)]

    assert ended.error is not None
    assert (ended.status, ended.error.type) == (ExecutionStatus.FAILED, "schema_mismatch")
    assert "'city' is a required property" in ended.error.message
    assert ended.usage.cost_usd > 0
    assert "tool_call" not in events


async def test_a_call_that_was_refused_is_so_for_the_next_activation_too(
    api: Server, pool: LocalPool
) -> None:
    wrong = Call(name="get_weather", input={"city": 7}, id="toolu_wrong")
    api.standin.next(Behaviour(kind="tool", calls=(wrong,)), weather_of("Rome"))
    waiting = await pool.client.execute(wanted(client_tools=(STRICT,)))

    await pool.restart("sub1")
    ended = await pool.client.ended(await pool.client.tool_results(waiting.id, [result("Rome")]))

    assert [call.id for call in waiting.tool_calls] == ["toolu_Rome"]
    assert (ended.status, ended.continued_by) == (ExecutionStatus.SUCCEEDED, "process")
    assert costs(ended) == [sum(billed(api)[:2]), billed(api)[2]]
