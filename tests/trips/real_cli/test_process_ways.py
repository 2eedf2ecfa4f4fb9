"""Runs in processes that were kept, cleared, or started ahead, with the real CLI: what the API is
asked is what a process of their own would have asked, and what they cost is what it billed.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from pool.claude.binary.locate import find_executable
from pool.claude.process.idle import cleared, spares
from pool.executions.content.image import Image
from pool.executions.execution import Execution
from pool.executions.model_settings import ModelSettings
from pool.executions.process_way import ProcessWay
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.money import nano_usd
from tests.support.pools.localpool import LocalPool
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.suite.in_full import IS_FULL
from tests.support.suite.waiting import until
from tests.support.values.manual_clock import ManualClock
from tests.support.values.pictures import PNG

MODEL = "claude-sonnet-4-5"
TOKEN = "test-token-sub1"
AHEAD, COLD = ProcessWay.AHEAD, ProcessWay.COLD
KEPT, REUSED = ProcessWay.KEPT, ProcessWay.REUSED
SHORT = ModelSettings(max_tokens=77, stop_sequences=("ZZ",), temperature=0.5, top_k=3)
THOUGHTFUL = ModelSettings.model_validate(
    {
        "max_tokens": 9_000,
        "effort": "high",
        "thinking": {"type": "enabled", "budget_tokens": 2_000, "display": "summarized"},
    }
)
UNTHINKING = ModelSettings.model_validate({"thinking": {"type": "disabled"}, "top_p": 0.5})
OF_A_RUN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}|/[^ \"]*/data/subscriptions/[^ \"]*|sha=[0-9a-f]+"
)
"""Sessions, the config directory's id, places on the disk, and the stand-in's own digest."""


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app()) as server:
        yield server


@pytest.fixture(autouse=True)
def machine_has_no_room_but_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription starts none ahead by itself here, which nobody would claim."""
    monkeypatch.setattr(spares, "has_room", lambda: False)
    monkeypatch.setattr(spares, "CLAIM_SECONDS", 30.0)
    monkeypatch.setattr(cleared, "CLEAR_SECONDS", 30.0)


@pytest.fixture
async def pool(api: Server, tmp_path: Path) -> AsyncIterator[LocalPool]:
    api.standin.reset()
    clock = ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "slots": 4, "keep_seconds": 60, "spares": 2}
    async with real_cli_pool(tmp_path, api.url, clock, **how) as pool:
        yield pool


async def parked(pool: LocalPool, model: str = MODEL) -> None:
    """Have a process started ahead."""
    context = pool.actors.subscription("sub1")._context
    environment = context.deps.environment(context.state.spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spares, "has_room", lambda: True)
        await context.deps.runner.tend_spares(1, environment, model)
    await asyncio.sleep(spares.READY_SECONDS)


async def ask(pool: LocalPool, prompt: str, **fields: Any) -> Execution:
    request = ExecutionRequest(**{"prompt": prompt, "model": MODEL, **fields})
    ended = await pool.client.execute(request)
    assert ended.status is ExecutionStatus.SUCCEEDED, ended.error
    return ended


def ways(*executions: Execution) -> list[ProcessWay | None]:
    return [each.attempts[-1].process for each in executions]


def asked(api: Server) -> list[dict[str, Any]]:
    """What the API was asked for, apart from what names one run."""
    bodies = [each.body or {} for each in api.standin.requests.all(path="/v1/messages")]
    return [json.loads(OF_A_RUN.sub("*", json.dumps(body))) for body in bodies]


async def test_a_kept_turn_costs_what_the_api_billed_and_each_way_is_told(
    api: Server, pool: LocalPool
) -> None:
    first = await ask(pool, "one")
    turns = [await ask(pool, word, session_id=first.session_id) for word in ("two", "three")]

    assert ways(first, *turns) == [COLD, KEPT, KEPT]
    costs = [nano_usd(each.usage.cost_usd) for each in (first, *turns)]
    assert costs == [line.cost_nano_usd for line in api.standin.bill.lines(TOKEN)]
    assert [each.result for each in turns if "messages=1" in (each.result or "")] == []
    again = await pool.client.result(turns[0].id)
    assert ways(again) == [KEPT]


AHEAD_FOR = [
    (MODEL, "haiku", {"model_settings": SHORT}),
    ("sonnet", "haiku", {"model_settings": THOUGHTFUL}),
    (MODEL, MODEL, {}),
    ("sonnet", "sonnet", {"model_settings": SHORT}),
]


@pytest.mark.parametrize(
    ("model", "ahead_for", "settings"), AHEAD_FOR if IS_FULL else AHEAD_FOR[:2]
)
async def test_a_new_session_in_a_process_that_was_started_ahead_is_like_any_other(
    api: Server,
    pool: LocalPool,
    tmp_path: Path,
    model: str,
    ahead_for: str,
    settings: dict[str, Any],
) -> None:
    """Its first turn has settings of the model, its second has none, and goes on in a process
    that was started for the first: which is as good as one of its own, see below.
    """
    await parked(pool, ahead_for)

    first = await ask(pool, "one", system_prompt="Be brief.", model=model, **settings)
    second = await ask(pool, "two", session_id=first.session_id, model=model)
    ahead, bill = asked(api), api.standin.bill.lines(TOKEN)

    assert ways(first, second) == [AHEAD, KEPT]
    costs = [nano_usd(each.usage.cost_usd) for each in (first, second)]
    assert costs == [line.cost_nano_usd for line in bill]
    known = await pool.client.session(first.session_id)
    assert known.subscription_id == "sub1"
    assert len((await pool.client.sessions()).items) == 1
    assert (await pool.client.result(first.id)).session_id == first.session_id
    api.standin.reset()
    clock = ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "keep_seconds": 60}
    async with real_cli_pool(tmp_path / "cold", api.url, clock, **how) as other:
        begun = await ask(other, "one", system_prompt="Be brief.", model=model, **settings)
        goes_on = await ask(other, "two", session_id=begun.session_id, model=model)
    assert ways(begun, goes_on) == [COLD, KEPT]
    assert ahead == asked(api)


async def test_a_session_that_began_in_a_spare_goes_on_in_a_process_of_its_own(
    api: Server, pool: LocalPool
) -> None:
    """Anthropic's cache of prompts knows its beginning there, too."""
    api.standin.always(Behaviour(caches=True))
    await parked(pool)
    first = await ask(pool, "one", model_settings=SHORT)
    await pool.actors.subscription("sub1")._context.deps.runner.let_go()

    second = await ask(pool, "two", session_id=first.session_id, model_settings=SHORT)

    assert ways(first, second) == [AHEAD, COLD]
    assert "messages=3" in (second.result or "")
    assert 0 < first.usage.cache_creation_input_tokens == second.usage.cache_read_input_tokens


async def test_the_same_request_again_is_the_same_execution_in_the_same_session(
    pool: LocalPool,
) -> None:
    await parked(pool)
    request = ExecutionRequest(prompt="one", model=MODEL)
    first = await pool.client.execute(request, idempotency_key="once")
    await parked(pool)

    again = await pool.client.execute(request, idempotency_key="once")

    assert (again.id, again.session_id) == (first.id, first.session_id)
    assert ways(again) == [AHEAD]


async def test_the_api_is_asked_as_by_a_process_of_its_own(
    api: Server, pool: LocalPool, tmp_path: Path
) -> None:
    """Prompts that would be commands, an image, and settings of the model, among them."""
    picture = Image(media_type="image/png", data=PNG)
    prompts = {"/clear": SHORT, "@/etc/hostname two": THOUGHTFUL, "!ls": UNTHINKING}

    async def conversation(in_: LocalPool) -> list[dict[str, Any]]:
        api.standin.reset()
        first = await ask(in_, "one", system_prompt="Be brief.")
        for prompt, settings in prompts.items():
            known = {"session_id": first.session_id, "model_settings": settings}
            await ask(in_, prompt, **known)
        last = await ask(in_, "see", session_id=first.session_id, images=(picture,))
        way = KEPT if in_ is pool else COLD
        assert ways(last) == [way]
        return asked(api)

    kept = await conversation(pool)
    clock = ManualClock(datetime.now(UTC))
    async with real_cli_pool(tmp_path / "cold", api.url, clock, subscriptions=1) as other:
        cold = await conversation(other)

    for one, another in zip(kept, cold, strict=True):
        for name in sorted({*one, *another} - {"messages"}):
            assert one.get(name) == another.get(name), name
        assert one["messages"] == another["messages"]


async def test_a_session_in_a_process_that_was_cleared_is_like_any_other_but_for_a_note(
    api: Server, tmp_path: Path
) -> None:
    """The note stands in the first message before the prompt, and so in its transcript. None has
    the settings of the one before.
    """
    words = {"one": SHORT, "/clear": ModelSettings(), "two": THOUGHTFUL, "three": UNTHINKING}
    picture = Image(media_type="image/png", data=PNG)

    async def sessions(in_: LocalPool, *expected: ProcessWay) -> list[dict[str, Any]]:
        api.standin.reset()
        fields = {"system_prompt": "Be brief.", "images": (picture,)}
        begun = [
            await ask(in_, word, **fields, model_settings=settings)
            for word, settings in words.items()
        ]
        turn = await ask(in_, "four", session_id=begun[-1].session_id)
        await in_.actors.subscription("sub1")._context.deps.runner.let_go()
        last = await ask(in_, "five", session_id=begun[-1].session_id)
        assert ways(*begun, turn, last) == [*expected]
        assert len({each.session_id for each in begun}) == len(begun)
        costs = [nano_usd(each.usage.cost_usd) for each in (*begun, turn, last)]
        assert costs == [line.cost_nano_usd for line in api.standin.bill.lines(TOKEN)]
        assert "messages=5" in (last.result or "")
        assert len((await in_.client.sessions()).items) == len(begun)
        return asked(api)

    clock = ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "keep_seconds": 60, "reuses": True}
    async with real_cli_pool(tmp_path / "reused", api.url, clock, **how) as pool:
        reused = await sessions(pool, COLD, REUSED, REUSED, REUSED, KEPT, COLD)
    how["reuses"] = False
    async with real_cli_pool(tmp_path / "cold", api.url, clock, **how) as other:
        cold = await sessions(other, *[COLD] * 4, KEPT, COLD)

    for number, (one, another) in enumerate(zip(reused, cold, strict=True)):
        notes = one["messages"][0]["content"][3:6]
        if number:
            assert "<command-name>/clear</command-name>" in notes[1]["text"]
            del one["messages"][0]["content"][3:6]
        assert _but_for_the_note(one) == _but_for_the_note(another)


def _but_for_the_note(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what hangs on its first message: the digest of that which stands beside the
    CLI's version, and the line's end between two blocks of text.
    """
    header = body["system"][0]
    header["text"] = re.sub(r"(cc_version=\d+[.]\d+[.]\d+)[.]\w+", r"\1", header["text"])
    for block in body["messages"][0]["content"]:
        if "text" in block:
            block["text"] = block["text"].rstrip()
    return body


async def test_what_somebody_says_in_a_session_outside_the_pool_is_known_to_its_next_turn(
    api: Server, pool: LocalPool
) -> None:
    first = await ask(pool, "one")
    context = pool.actors.subscription("sub1")._context
    environment = context.deps.environment(context.state.spec)
    cli = str(find_executable(None, search_path="/nonexistent"))
    options = ("--model", MODEL, "--resume", first.session_id)
    await asyncio.to_thread(
        subprocess.run,
        (cli, "-p", *options),
        input=b"SAID-ELSEWHERE",
        env=dict(environment),
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )

    second = await ask(pool, "two", session_id=first.session_id)

    assert ways(second) == [COLD]
    assert "messages=5" in (second.result or "")
    assert "SAID-ELSEWHERE" in json.dumps(asked(api)[-1])


async def test_a_session_that_is_removed_takes_its_process_along(
    pool: LocalPool, tmp_path: Path
) -> None:
    first = await ask(pool, "one")
    runner = pool.actors.subscription("sub1")._context.deps.runner
    (process,) = runner._folders.processes()  # type: ignore[attr-defined]
    assert process.is_locked()

    await pool.client.forget_session(first.session_id)

    await until(lambda: not (process.exists() and process.is_locked()))
    assert not list((tmp_path / "claude").rglob(f"{first.session_id}.jsonl"))


async def test_a_drained_subscription_keeps_no_process(pool: LocalPool) -> None:
    await ask(pool, "one")
    runner = pool.actors.subscription("sub1")._context.deps.runner
    (process,) = runner._folders.processes()  # type: ignore[attr-defined]

    await pool.client.drain("sub1")

    async with asyncio.timeout(10):
        while process.exists() and process.is_locked():
            await asyncio.sleep(0.02)
