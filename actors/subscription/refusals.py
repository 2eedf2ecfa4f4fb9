"""The refusals of a subscription, by the placement that each answered.

A router that is refused places the execution elsewhere, under the next number. A second router that
has looked before that may still ask here, by the number that was refused; if it were admitted now,
the execution would run twice. So what was refused stays refused for that number. Whoever wants it
here anew places it anew, which only one of them can (``Directory.place``).

They are remembered in this life: a router that asks a second life by a number which the first one
has refused may be admitted, where another one has gone on meanwhile. That takes two routers with
the same request, and a death within the moment between two calls.
"""

from __future__ import annotations

from collections import OrderedDict

from pool.executions.intent import Intent

MOST = 10_000
"""The latest; a call is on its way for seconds, not for as long as so many refusals take."""


class Refusals:
    """The placements that were refused, by execution the highest."""

    def __init__(self) -> None:
        self._placements: OrderedDict[str, int] = OrderedDict()

    def note(self, intent: Intent) -> None:
        """An execution was refused."""
        known = self._placements.pop(intent.execution_id, 0)
        self._placements[intent.execution_id] = max(known, intent.placement)
        while len(self._placements) > MOST:
            self._placements.popitem(last=False)

    def has_refused(self, intent: Intent) -> bool:
        """Whether this placement was refused, or a later one."""
        return 0 < intent.placement <= self._placements.get(intent.execution_id, 0)
