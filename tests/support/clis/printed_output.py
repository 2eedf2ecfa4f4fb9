"""What a CLI has printed, as those who read it piece by piece find it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pool.claude.output.tail import Piece
from pool.executions.progress import AttemptBegan

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)
ATTEMPT = AttemptBegan(number=0, subscription_id="sub1", session_id="s", model="m")


def printed(output: bytes) -> Callable[[int, int], Piece]:
    """A reader of all that was printed: offset and limit, in bytes."""

    def read(offset: int, limit: int) -> Piece:
        return Piece(output[offset : offset + limit], len(output), NOW)

    return read
