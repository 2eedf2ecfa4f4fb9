"""First reports: waiting, within bounds, for subscriptions that come up and have sent none yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from actors.aiokit import News
from pool.errors import ConfigError
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionSpec

log = logging.getLogger(__name__)

EVERYBODY_SECONDS = 3.0
"""How long a list waits for the subscriptions that are missing in it: a router that was started
again hears of all within a second."""
FIRST_REPORT_SECONDS = 20.0
"""How long to wait for a subscription that never sent a report: an activation takes a few seconds,
and begins with the next free turn where somebody waits for it."""


class FirstReports:
    """Waits by what is known, as it changes: which subscriptions are followed, what they reported,
    and why some could not be activated. ``want`` has a subscription come up before others.
    """

    def __init__(
        self,
        specs: Mapping[str, SubscriptionSpec],
        reports: Mapping[str, Report],
        failed: Mapping[str, Exception],
        news: News,
        want: Callable[[str], None],
    ) -> None:
        self._specs = specs
        self._reports = reports
        self._failed = failed
        self._news = news
        self._want = want

    @property
    def unusable(self) -> dict[str, ConfigError]:
        """The subscriptions that cannot come up as they are configured, by id, and why not."""
        failed = self._failed.items()
        return {id_: error for id_, error in failed if isinstance(error, ConfigError)}

    def _present(self) -> AbstractSet[str]:
        """The subscriptions that have sent a report, and are not lost since."""
        return {id_ for id_, each in self._reports.items() if each.presence != "away"}

    async def await_any(self) -> None:
        """Wait until any subscription has sent a report, within bounds; as a rule one has. Returns
        at once, too, where no subscription is to run, or none can.
        """
        await self._until(
            lambda: (
                not self._reports.keys() <= self.unusable.keys()
                or self._specs.keys() <= self.unusable.keys()
            ),
            FIRST_REPORT_SECONDS,
        )

    async def await_one(self, ids: Iterable[str]) -> None:
        """Wait until one of these subscriptions has sent a report, within bounds; as a rule one
        has. Returns at once, too, where none of them is to run, or none can. A subscription that is
        named alone comes up before others.
        """
        wanted = self._specs.keys() & set(ids)
        if len(wanted) == 1:
            self._want(*wanted)
        await self._until(
            lambda: wanted <= self.unusable.keys() or not wanted.isdisjoint(self._reports),
            FIRST_REPORT_SECONDS,
        )

    async def await_enough(self, is_enough: Callable[[], bool]) -> None:
        """Wait until ``is_enough``: within bounds, as long as some subscriptions come up and have
        sent no report yet, and then a moment for those that are away.
        """
        if is_enough():
            return
        await self._news.until(
            lambda: is_enough() or not self._is_anybody_coming, FIRST_REPORT_SECONDS
        )
        if not is_enough():
            await self.await_all()

    @property
    def _is_anybody_coming(self) -> bool:
        return not self._specs.keys() <= self._present() | self._failed.keys()

    async def await_all(self) -> None:
        """Wait, within bounds, until every subscription that can has sent a report."""
        await self._until(
            lambda: self._specs.keys() <= self._reports.keys() | self.unusable.keys(),
            EVERYBODY_SECONDS,
        )

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        if not await self._news.until(condition, seconds):
            missing = sorted(self._specs.keys() - self._reports.keys())
            log.warning("subscriptions have sent no report", extra={"subscription_ids": missing})
