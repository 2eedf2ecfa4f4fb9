"""Prompts and answers on the disk, with the real CLI: there while they are kept, and then nowhere
but in the transcripts by which a conversation goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.values.manual_clock import ManualClock

ASKED, ANSWERED = "XYLOPHONE-ASKED", "XYLOPHONE-ANSWERED"


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app()) as server:
        yield server


def holders(folder: Path, text: str) -> set[str]:
    """The names of the files below a folder that hold a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if text.encode() in path.read_bytes()}


async def test_what_was_asked_and_answered_is_on_the_disk_no_longer_than_it_is_kept(
    api: Server, tmp_path: Path
) -> None:
    clock = ManualClock(datetime.now(UTC))
    async with real_cli_pool(tmp_path, api.url, clock, subscriptions=1) as pool:
        request = ExecutionRequest(
            prompt=f"{ASKED} [[standin text={ANSWERED}]]", system_prompt=ASKED, stream=True
        )
        started = await pool.client.start(request)
        events = [each.progress async for each in pool.client.events(started.id)]
        ledger, kept = {"ledger.sqlite", "ledger.sqlite-wal"}, holders(tmp_path / "data", ANSWERED)
        clock.advance(timedelta(days=1, seconds=1))
        owner = await pool.restart("sub1")
        pool.router._followers.remember(await owner.next_report(-1, -1, 0))
        async with asyncio.timeout(20):
            while found := holders(tmp_path / "data", "XYLOPHONE"):
                await asyncio.sleep(0.05)
        again = await pool.client.execute(
            ExecutionRequest(prompt="go on", session_id=started.session_id)
        )

    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.execution.result == ANSWERED
    assert kept & ledger
    assert "stdout" in kept
    assert found == set()
    assert holders(tmp_path / "claude", ASKED) == {f"{started.session_id}.jsonl"}
    assert again.status is ExecutionStatus.SUCCEEDED
    assert ASKED in str(api.standin.requests.all("test-token-sub1")[-1])
