"""A seat's use beside the pool, on the real ledger."""

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
from localpool import NOON, SONNET, LocalPool

from actors.beside import Beside
from actors.life import Life
from pool.usage import ModelUsage, Usage, UsageRecord, UsageSource
from pool.value import instant_text

DATED = f"{SONNET}-20250929"


def priced(model: str = SONNET) -> Usage:
    """What a run was charged that teaches a price for answers in its proportions."""
    usage = ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=600_000)
    return Usage(models={model: usage})


@pytest.fixture
def life(local_pool: LocalPool, tmp_path: Path) -> Life:
    life = local_pool.peers.subscription("sub1")._life
    directory = {"CLAUDE_CONFIG_DIR": str(tmp_path / "config")}
    life.given = replace(life.given, environment=lambda _: directory)
    life.state.rates = life.state.rates.having_seen(priced())
    return life


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "projects" / "-home" / f"{uuid4()}.jsonl"
    path.parent.mkdir(parents=True)
    return path


def answer(id_: str = "1", output_tokens: int = 20, model: str = DATED) -> dict[str, Any]:
    usage = {"input_tokens": output_tokens * 5, "output_tokens": output_tokens}
    return {
        "type": "assistant",
        "timestamp": instant_text(NOON - timedelta(hours=1)),
        "sessionId": "session",
        "requestId": f"req_{id_}",
        "message": {"id": f"msg_{id_}", "model": model, "usage": usage},
    }


def write(path: Path, *entries: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))


async def records(life: Life) -> list[UsageRecord]:
    return list((await life.ledger.usage(limit=100)).items)


async def test_an_answer_is_counted_at_its_time_and_price(life: Life, transcript: Path) -> None:
    write(transcript, answer())

    await Beside(life).look()

    (record,) = await records(life)
    assert (record.id, record.source) == ("outside:req_1", UsageSource.OUTSIDE)
    assert (record.timestamp, record.session_id) == (NOON - timedelta(hours=1), "session")
    assert record.usage.models[DATED].cost_nano_usd == 600_000
    assert life.report().weekly.used_usd * 10**9 == 600_000


async def test_blocks_of_one_answer_count_once_with_the_largest_counts(
    life: Life, transcript: Path
) -> None:
    write(transcript, answer(output_tokens=2), answer(output_tokens=20), answer(output_tokens=8))

    await Beside(life).look()

    (record,) = await records(life)
    assert record.usage.models[DATED].output_tokens == 20


async def test_what_was_counted_is_not_counted_by_the_next_life(
    life: Life, transcript: Path
) -> None:
    write(transcript, answer())
    await Beside(life).look()

    again = Beside(life)
    await again.look()
    await again.look()

    assert len(await records(life)) == 1
    assert life.report().weekly.used_usd * 10**9 == 600_000


async def test_an_answer_is_counted_once_it_is_quiet(
    life: Life, transcript: Path, local_pool: LocalPool
) -> None:
    local_pool.clock.now = NOON - timedelta(minutes=59)
    beside = Beside(life)
    write(transcript, answer(output_tokens=2))
    await beside.look()
    assert await records(life) == []

    write(transcript, answer(output_tokens=20))
    local_pool.clock.now = NOON
    await beside.look()

    (record,) = await records(life)
    assert record.usage.models[DATED].output_tokens == 20


async def test_what_has_no_price_is_held_back_until_it_has_one(
    life: Life, transcript: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = Beside(life)
    write(transcript, answer(model="claude-next-9"), answer("2"))

    with caplog.at_level(logging.WARNING, "actors.beside"):
        await beside.look()
        await beside.look()

    assert [record.id for record in await records(life)] == ["outside:req_2"]
    assert beside.unpriced == {"claude-next-9"}
    assert [each.message for each in caplog.records] == ["usage beside the pool has no price yet"]

    life.state.rates = life.state.rates.having_seen(priced("claude-next-9"))
    await beside.look()

    assert len(await records(life)) == 2
    assert beside.unpriced == frozenset()


async def test_a_seat_without_a_directory_has_no_transcripts(life: Life) -> None:
    life.given = replace(life.given, environment=lambda _: {})

    await Beside(life).look()

    assert await records(life) == []
