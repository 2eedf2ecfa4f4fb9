"""Talk with a process of the CLI beside its turns, such as control requests, and what it
answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, TypeVar

from pool.claude.output.lines import messages_of
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.watch import Watcher

T = TypeVar("T")

_LOOK_SECONDS = 0.5  # should no news come, and the process die meanwhile
_ANSWER = "control_response"
_MOST_BYTES = 4_000_000


async def asked(
    process: ProcessDirectory, watcher: Watcher, request_id: str, line: bytes, seconds: float
) -> dict[str, Any] | None:
    """Say a control request to a process, and wait for its answer; see ``all_asked``."""
    told = await all_asked(process, watcher, {request_id: line}, seconds)
    return None if told is None else told[request_id]


async def all_asked(
    process: ProcessDirectory, watcher: Watcher, lines: Mapping[str, bytes], seconds: float
) -> dict[str, dict[str, Any]] | None:
    """Say control requests to a process, by their ids, and wait for their answers: what each of
    them holds, where all are successes; None for anything else, which comes to the same: this
    process is not to be used.
    """
    said = b"".join(lines.values())
    told = await answered(process, watcher, said, partial(_answers, lines), seconds)
    if told is None or any(each.get("subtype") != "success" for each in told[0].values()):
        return None
    return {request_id: _object(each.get("response")) for request_id, each in told[0].items()}


async def answered(
    process: ProcessDirectory,
    watcher: Watcher,
    line: bytes,
    find: Callable[[list[bytes]], T | None],
    seconds: float,
) -> tuple[T, int] | None:
    """Say a line to a process, and wait for what ``find`` finds in the whole lines that it prints
    from then on; that, and where in the output they end. None where the process dies, or takes
    longer than so many seconds.
    """
    try:
        offset = await asyncio.to_thread(_say, process, line)
    except OSError:
        return None
    until = time.monotonic() + seconds
    with watcher.growth_of(lambda: process.stdout) as wake:
        while (left := until - time.monotonic()) > 0:
            lines, ends = await asyncio.to_thread(_printed, process, offset)
            if (found := find(lines)) is not None:
                return found, ends
            if not await asyncio.to_thread(_lives, process):
                return None
            await wake.wait(min(left, _LOOK_SECONDS))
    return None


def _say(process: ProcessDirectory, line: bytes) -> int:
    """Where in the output the answer can stand."""
    offset = process.stdout.stat().st_size
    process.say(line)
    return offset


def _printed(process: ProcessDirectory, offset: int) -> tuple[list[bytes], int]:
    """The whole lines since a place, and where they end."""
    printed = process.printed(offset, None, 0, _MOST_BYTES)
    whole = b"" if printed is None else printed.data[: printed.data.rfind(b"\n") + 1]
    return whole.splitlines(), offset + len(whole)


def _answers(ids: Collection[str], lines: list[bytes]) -> dict[str, dict[str, Any]] | None:
    """The answers to all requests, by their ids, once they are there; the first to each."""
    found: dict[str, dict[str, Any]] = {}
    for message in (message for line in lines for message in messages_of(line)):
        answer = _object(message.get("response")) if message.get("type") == _ANSWER else {}
        if answer.get("request_id") in ids:
            found.setdefault(answer["request_id"], answer)
    return found if len(found) == len(ids) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _lives(process: ProcessDirectory) -> bool:
    started = process.started()
    return started is not None and not process.has_ended() and started.supervisor.is_alive()
