"""The end of a process that must end: the reason, and the signals that are still to come."""

from __future__ import annotations

INTERRUPT = b'{"type":"control_request","request_id":"stop","request":{"subtype":"interrupt"}}\n'
_SIGTERM, _SIGKILL = 15, 9


class Ladder:
    """Interrupt and end of input at once, then SIGTERM, then SIGKILL, a grace between them."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._rungs: list[tuple[float, int]] = []
        self.reason: str | None = None

    @property
    def next_at(self) -> float | None:
        """When the next signal is due."""
        return self._rungs[-1][0] if self._rungs else None

    def begin(self, reason: str, now: float) -> None:
        self.reason = reason
        self._rungs = [(now + 2 * self._grace, _SIGKILL), (now + self._grace, _SIGTERM)]

    def signal_due(self, now: float) -> int | None:
        """The signal that is to be sent now."""
        if self._rungs and now >= self._rungs[-1][0]:
            return self._rungs.pop()[1]
        return None
