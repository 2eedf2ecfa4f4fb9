"""The refusals of one activation of a subscription, by the placement that each answered.

A router that is refused places the execution elsewhere, under the next number. A second router that
has looked before that may still ask here, by the number that was refused; if it were admitted now,
the execution would run twice. So what was refused stays refused for that number. Whoever wants it
here anew places it anew, which only one of them can (``Directory.place``).

They are remembered in this activation. So a placement is made for one activation, the one that its
router knew, and any other that does not have the execution refuses it: it cannot know whether that
one did. Of an earlier activation that is the end, since its ledger is shut: what it had admitted
would be here. A later one may have admitted it since; then this one has ended, and answers nothing
(``Subscription``).
"""

from __future__ import annotations

from collections import OrderedDict

from pool.executions.intent import Intent

MOST = 10_000
"""The latest; a call is on its way for seconds, not for as long as so many refusals take."""


class Refusals:
    """The placements that one activation has refused, by execution the highest."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._placements: OrderedDict[str, int] = OrderedDict()

    def note(self, intent: Intent) -> None:
        """An execution was refused."""
        known = self._placements.pop(intent.execution_id, 0)
        self._placements[intent.execution_id] = max(known, intent.placement)
        while len(self._placements) > MOST:
            self._placements.popitem(last=False)

    def has_refused(self, intent: Intent) -> bool:
        """Whether this placement was refused, or a later one, or may be by another activation."""
        if intent.placed_for not in {0, self._epoch}:
            return True
        return 0 < intent.placement <= self._placements.get(intent.execution_id, 0)

    def is_for_a_later_activation(self, intent: Intent) -> bool:
        """Whether it was placed for a later activation: perhaps this one has ended."""
        return intent.placed_for > self._epoch
