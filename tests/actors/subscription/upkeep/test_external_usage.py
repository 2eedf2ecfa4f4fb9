"""A subscription's use beside the pool, on the real ledger."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.subscription.context import SubscriptionContext
from actors.subscription.upkeep.external_usage import ExternalUsage
from pool.claude.transcripts.telemetry import ApiRequest, outside_record
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.retraction import UsageToRetract
from pool.values import instant_text
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, SONNET

DATED = f"{SONNET}-20250929"
AN_HOUR_AGO = NOON - timedelta(hours=1)


def priced(model: str = SONNET) -> Usage:
    """What a run was charged that teaches a price for answers in its proportions."""
    usage = ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=600_000)
    return Usage(models={model: usage})


def priced_at(**counts: int) -> Usage:
    return Usage(models={SONNET: ModelUsage(**counts)})


@pytest.fixture
def life(local_pool: LocalPool, tmp_path: Path) -> SubscriptionContext:
    life = local_pool.actors.subscription("sub1")._context
    directory = {"CLAUDE_CONFIG_DIR": str(tmp_path / "config")}
    life.deps = replace(life.deps, environment=lambda _: directory)
    life.state.rates = life.state.rates.having_seen(priced())
    return life


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "projects" / "-home" / f"{uuid4()}.jsonl"
    path.parent.mkdir(parents=True)
    return path


def answer(
    id_: str = "1", output_tokens: int = 20, model: str = DATED, **usage: Any
) -> dict[str, Any]:
    counts = {"input_tokens": output_tokens * 5, "output_tokens": output_tokens, **usage}
    return {
        "type": "assistant",
        "timestamp": instant_text(AN_HOUR_AGO),
        "sessionId": "session",
        "requestId": f"req_{id_}",
        "message": {"id": f"msg_{id_}", "model": model, "usage": counts},
    }


def told(request_id: str | None) -> UsageRecord:
    """The call of ``answer`` as Claude Code's telemetry tells of it."""
    request = ApiRequest(
        subscription_id=None,
        session_id="session",
        request_id=request_id,
        model=DATED,
        usage=ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=600_000),
        at=AN_HOUR_AGO + timedelta(seconds=1),
    )
    return outside_record(request, "sub1", NOON)


def write(path: Path, *entries: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))


async def records(life: SubscriptionContext) -> list[UsageRecord]:
    return list((await life.ledger.usage(limit=100)).items)


async def test_an_answer_is_counted_at_its_time_and_price(
    life: SubscriptionContext, transcript: Path
) -> None:
    write(transcript, answer())

    await ExternalUsage(life).look()

    (record,) = await records(life)
    assert (record.id, record.source) == ("outside:msg_1", UsageSource.OUTSIDE)
    assert (record.timestamp, record.session_id) == (NOON - timedelta(hours=1), "session")
    assert record.usage.models[DATED].cost_nano_usd == 600_000
    assert life.report().weekly.used_usd * 10**9 == 600_000


async def test_blocks_of_one_answer_count_once_with_the_largest_counts(
    life: SubscriptionContext, transcript: Path
) -> None:
    write(transcript, answer(output_tokens=2), answer(output_tokens=20), answer(output_tokens=8))

    await ExternalUsage(life).look()

    (record,) = await records(life)
    assert record.usage.models[DATED].output_tokens == 20


async def test_what_was_counted_is_not_counted_by_the_next_life(
    life: SubscriptionContext, transcript: Path
) -> None:
    write(transcript, answer())
    await ExternalUsage(life).look()

    again = ExternalUsage(life)
    await again.look()
    await again.look()

    assert len(await records(life)) == 1
    assert life.report().weekly.used_usd * 10**9 == 600_000


async def test_an_answer_is_counted_once_it_is_quiet(
    life: SubscriptionContext, transcript: Path, local_pool: LocalPool
) -> None:
    local_pool.clock.now = NOON - timedelta(minutes=59)
    beside = ExternalUsage(life)
    write(transcript, answer(output_tokens=2))
    await beside.look()
    assert await records(life) == []

    write(transcript, answer(output_tokens=20))
    local_pool.clock.now = NOON
    await beside.look()

    (record,) = await records(life)
    assert record.usage.models[DATED].output_tokens == 20


async def test_what_has_no_price_is_held_back_until_it_has_one(
    life: SubscriptionContext, transcript: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = ExternalUsage(life)
    write(transcript, answer(model="claude-next-9"), answer("2"))

    with caplog.at_level(logging.WARNING, "actors.subscription.upkeep.external_usage"):
        await beside.look()
        await beside.look()

    assert [record.id for record in await records(life)] == ["outside:msg_2"]
    assert beside.unpriced == {"claude-next-9"}
    assert [each.message for each in caplog.records] == ["usage outside the pool has no price yet"]

    life.state.rates = life.state.rates.having_seen(priced("claude-next-9"))
    await beside.look()

    assert len(await records(life)) == 2
    assert beside.unpriced == frozenset()


async def test_a_subscription_without_a_directory_has_no_transcripts(
    life: SubscriptionContext,
) -> None:
    life.deps = replace(life.deps, environment=lambda _: {})

    await ExternalUsage(life).look()

    assert await records(life) == []


async def test_a_fork_of_a_session_adds_nothing_to_it(
    life: SubscriptionContext, transcript: Path
) -> None:
    write(transcript, answer())
    await ExternalUsage(life).look()

    write(transcript.with_name(f"{uuid4()}.jsonl"), {**answer(), "requestId": "req_9"})
    write(transcript.with_name(f"{uuid4()}.jsonl"), {**answer(), "requestId": ""})
    await ExternalUsage(life).look()

    assert [record.id for record in await records(life)] == ["outside:msg_1"]


@pytest.mark.parametrize("request_id", ["req_1", None])
async def test_what_telemetry_tells_of_a_transcript_adds_nothing(
    life: SubscriptionContext, transcript: Path, request_id: str | None
) -> None:
    answered = answer() if request_id else {**answer(), "requestId": None}
    write(transcript, answered)
    await ExternalUsage(life).look()

    added = await ExternalUsage(life).count(told(request_id))

    assert not added
    assert len(await records(life)) == 1


@pytest.mark.parametrize("request_id", ["req_1", None])
async def test_a_transcript_of_what_telemetry_told_adds_nothing(
    life: SubscriptionContext, transcript: Path, request_id: str | None
) -> None:
    beside = ExternalUsage(life)
    added = await beside.count(told(request_id))

    write(transcript, answer() if request_id else {**answer(), "requestId": None})
    await beside.look()
    await ExternalUsage(life).look()

    assert added
    assert len(await records(life)) == 1


async def test_what_lives_an_hour_in_the_cache_costs_two_of_input(
    life: SubscriptionContext, transcript: Path
) -> None:
    life.state.rates = LearnedPrices().having_seen(priced_at(input_tokens=10, cost_nano_usd=30_000))
    writes = {"cache_creation": {"ephemeral_1h_input_tokens": 30, "ephemeral_5m_input_tokens": 10}}
    write(transcript, answer(output_tokens=0, cache_creation_input_tokens=40, **writes))

    await ExternalUsage(life).look()

    (record,) = await records(life)
    assert record.usage.cost_nano_usd == 30 * 6_000 + 10 * 3_750


async def test_a_batch_costs_half(life: SubscriptionContext, transcript: Path) -> None:
    write(transcript, answer(service_tier="batch"))

    await ExternalUsage(life).look()

    (record,) = await records(life)
    assert record.usage.cost_nano_usd == 300_000


async def test_fast_mode_has_a_price_that_nobody_knows(
    life: SubscriptionContext, transcript: Path
) -> None:
    beside = ExternalUsage(life)
    write(transcript, answer(speed="fast"), answer("2", speed="standard", service_tier="standard"))

    await beside.look()

    assert [record.id for record in await records(life)] == ["outside:msg_2"]
    assert beside.unpriced == {f"{DATED} (fast)"}

    await beside.count(told("req_1"))  # telemetry says what it cost
    await beside.look()

    assert len(await records(life)) == 2
    assert beside.unpriced == frozenset()


async def test_what_was_taken_back_is_not_counted_when_it_is_told_again(
    life: SubscriptionContext, transcript: Path
) -> None:
    """By the other witness, and to the next life, which reads all of it again."""
    write(transcript, answer())
    outside = ExternalUsage(life)
    await outside.look()
    (record,) = await records(life)

    made, more = await outside.retract(UsageToRetract(ids=(record.id,)), "ops")
    counted = await outside.count(told("req_1"))
    await ExternalUsage(life).look()
    counted_later = await ExternalUsage(life).count(told("req_1"))

    assert ([each.id for each in made], more) == ([f"retraction:{record.id}"], False)
    assert (counted, counted_later) == (False, False)
    assert len(await records(life)) == 2
    assert life.report().weekly.used_usd == 0
