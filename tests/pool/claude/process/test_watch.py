from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process import watch
from pool.claude.process.watch import POLL_SECONDS, Watcher

LONG = 20.0


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


async def woken(wake: Any, seconds: float = LONG) -> float:
    began = time.monotonic()
    await wake.wait(seconds)
    return time.monotonic() - began


async def test_who_waits_for_a_file_to_grow_is_woken_as_it_does(
    watcher: Watcher, tmp_path: Path
) -> None:
    file = tmp_path / "spool"
    file.touch()
    with watcher.growth_of(lambda: file) as wake:
        waiting = asyncio.create_task(woken(wake))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        with file.open("ab") as spool:
            spool.write(b"more")

        assert await waiting < LONG / 2


async def test_what_happens_before_somebody_waits_is_not_missed(
    watcher: Watcher, tmp_path: Path
) -> None:
    with watcher.files_of(tmp_path) as wake:
        (tmp_path / "ended").write_text("x")
        await asyncio.sleep(0.05)

        assert await woken(wake) < LONG / 2
        assert await woken(wake, 0.05) >= 0.04


async def test_a_file_that_is_put_in_its_place_whole_is_news(
    watcher: Watcher, tmp_path: Path
) -> None:
    (tmp_path / "ended.tmp").write_text("x")
    with watcher.files_of(tmp_path) as wake:
        (tmp_path / "ended.tmp").rename(tmp_path / "ended")

        assert await woken(wake) < LONG / 2


async def test_each_who_waits_is_woken_and_one_who_leaves_takes_nothing_along(
    watcher: Watcher, tmp_path: Path
) -> None:
    with watcher.files_of(tmp_path) as one:
        with watcher.files_of(tmp_path) as other:
            (tmp_path / "a").write_text("x")
            assert max(await woken(one), await woken(other)) < LONG / 2
        (tmp_path / "b").write_text("x")
        assert await woken(one) < LONG / 2


async def test_what_is_not_there_yet_is_looked_for_and_then_watched(
    watcher: Watcher, tmp_path: Path
) -> None:
    file = tmp_path / "spool"
    with watcher.growth_of(lambda: file) as wake:
        assert await woken(wake) < LONG / 2  # a look
        file.touch()
        assert await woken(wake) < LONG / 2  # it may have grown meanwhile
        assert await woken(wake, 0.1) >= 0.09
        with file.open("ab") as spool:
            spool.write(b"more")
        assert await woken(wake) < LONG / 2


async def test_what_is_removed_wakes_who_watches_it(watcher: Watcher, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with watcher.files_of(folder) as wake:
        folder.rmdir()

        assert await woken(wake) < LONG / 2
        assert await woken(wake) < LONG / 2


async def test_nothing_is_left_open_when_nobody_waits(watcher: Watcher, tmp_path: Path) -> None:
    def instances() -> int:
        links = (fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())
        return sum("inotify" in str(link) for link in links)

    before = instances()
    for _ in range(3):
        with watcher.files_of(tmp_path), watcher.files_of(tmp_path.parent):
            assert instances() == before + 1

    assert instances() == before


async def test_without_inotify_one_looks_again_every_now_and_then(
    watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        @staticmethod
        def inotify_init1(_: int) -> int:
            return -1

    monkeypatch.setattr(watch, "_LIBC", Full)

    with watcher.files_of(tmp_path) as wake:
        assert POLL_SECONDS * 0.9 <= await woken(wake) < LONG / 2


async def test_when_too_much_has_happened_everybody_looks(watcher: Watcher, tmp_path: Path) -> None:
    with watcher.files_of(tmp_path) as one, watcher.files_of(tmp_path.parent) as other:
        watcher._tell(-1, watch._OVERFLOW)

        assert max(await woken(one), await woken(other)) < LONG / 2
