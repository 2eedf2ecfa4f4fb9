"""News of files, as they come: what makes waiting for another process no matter of looking again.

One instance of inotify serves all who wait in this process, and is there only while somebody does.
Where none can be had (a user has 128 by default), or what is to be watched is not there yet, a look
every now and then takes its place: nobody waits in vain.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_SECONDS = 0.025
"""Between looks at what cannot be watched."""
_MODIFIED, _CLOSED_AFTER_WRITE, _MOVED_HERE = 0x2, 0x8, 0x80
_OVERFLOW, _GONE = 0x4000, 0x8000
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_HEAD = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None)


class Wake:
    """Wakes one task that waits for something to happen to a file or directory."""

    def __init__(self, watcher: Watcher, path: Callable[[], Path], events: int) -> None:
        self._watcher = watcher
        self._path = path
        self._events = events
        self._has_news = asyncio.Event()
        self._is_watched = watcher.begin(self, path(), events)

    async def wait(self, seconds: float) -> None:
        """Return when something may have happened since this was last awaited; after ``seconds``
        at the latest.
        """
        if not self._is_watched:
            await self._begin_again(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_news.wait()
        self._has_news.clear()

    def up(self) -> None:
        """Wake who waits."""
        self._has_news.set()

    def end(self) -> None:
        """What was watched is gone; there may be another of its name."""
        self._is_watched = False
        self._has_news.set()

    async def _begin_again(self, seconds: float) -> None:
        self._is_watched = self._watcher.begin(self, self._path(), self._events)
        if not self._is_watched:  # else something may have happened before
            await asyncio.sleep(min(seconds, POLL_SECONDS))


class Watcher:
    """Those who wait for news of files in one event loop."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awaited: dict[int, set[Wake]] = {}
        """By the number that inotify has for what they watch."""

    @contextmanager
    def files_of(self, directory: Path) -> Iterator[Wake]:
        """News of files in a directory that were written to their end, or put there whole."""
        yield from self._wake(lambda: directory, _CLOSED_AFTER_WRITE | _MOVED_HERE)

    @contextmanager
    def growth_of(self, file: Callable[[], Path]) -> Iterator[Wake]:
        """News of what is appended to a file; which it is may be known later."""
        yield from self._wake(file, _MODIFIED)

    def begin(self, wake: Wake, path: Path, events: int) -> bool:
        """Watch something for somebody; whether that can be done."""
        if self._fd is None:
            fd = int(_LIBC.inotify_init1(_FLAGS))
            if fd < 0:
                return False
            self._fd, self._loop = fd, asyncio.get_running_loop()
            self._loop.add_reader(fd, self._read)
        number = int(_LIBC.inotify_add_watch(self._fd, os.fsencode(path), events))
        if number < 0:
            self._rest()
            return False
        self._awaited.setdefault(number, set()).add(wake)
        return True

    def _wake(self, path: Callable[[], Path], events: int) -> Iterator[Wake]:
        wake = Wake(self, path, events)
        try:
            yield wake
        finally:
            self._forget(wake)

    def _forget(self, wake: Wake) -> None:
        for number, waiting in tuple(self._awaited.items()):
            waiting.discard(wake)
            if not waiting:
                del self._awaited[number]
                _LIBC.inotify_rm_watch(self._fd, number)
        self._rest()

    def _rest(self) -> None:
        """Let the instance go when nobody waits."""
        if self._fd is not None and self._loop is not None and not self._awaited:
            with suppress(RuntimeError):  # the loop has ended before who waited in it
                self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None

    def _read(self) -> None:
        if self._fd is None:
            return
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return
        place = 0
        while place < len(data):
            number, event, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size + length
            self._tell(number, event)

    def _tell(self, number: int, event: int) -> None:
        if event & _OVERFLOW:
            for each in {wake for waiting in self._awaited.values() for wake in waiting}:
                each.up()
        elif event & _GONE:
            for each in self._awaited.pop(number, set()):
                each.end()
        else:
            for each in self._awaited.get(number, ()):
                each.up()
