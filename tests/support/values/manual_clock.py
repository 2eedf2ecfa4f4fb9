"""A clock that is set."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.values.examples import NOON


class ManualClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by
