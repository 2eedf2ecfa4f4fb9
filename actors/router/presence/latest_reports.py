"""The latest report of each subscription, and the readers that go by them as they come.

A report says when it was made; the newer of two counts, whichever way it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from actors.aiokit import News
from pool.subscriptions.report import Report
from pool.telemetry.events import PoolEvent, changes


class ReportReader(Protocol):
    """Somebody who goes by reports as they come, and does not look at all of them again."""

    def heard(self, report: Report) -> None:
        """A report is the latest of its subscription now."""
        ...

    def left(self, subscription_id: str) -> None:
        """A subscription is let go of."""
        ...


class LatestReports:
    """The latest report of every subscription that has sent one. ``tell`` is called with each event
    that follows from one report to the next; ``news`` is told of every report.
    """

    def __init__(self, news: News, tell: Callable[[PoolEvent], None]) -> None:
        self._news = news
        self._tell = tell
        self._reports: dict[str, Report] = {}
        self._heard: set[str] = set()
        self._readers: list[ReportReader] = []
        self.by_id: Mapping[str, Report] = MappingProxyType(self._reports)
        """The latest reports, by id, as they are now."""

    @property
    def all(self) -> tuple[Report, ...]:
        """The latest reports, in the order of their ids."""
        return tuple(self._reports[id_] for id_ in sorted(self._reports))

    @property
    def heard(self) -> AbstractSet[str]:
        """The ids of the subscriptions that have sent a report: of others that cannot come up there
        may be one of what their ledgers say.
        """
        return self._heard

    def add_reader(self, reader: ReportReader) -> None:
        """Hand a reader the reports that are here, and each that comes from now on."""
        self._readers.append(reader)
        for report in self._reports.values():
            reader.heard(report)

    def would_be(self, report: Report) -> bool:
        """Whether a report is no older than the one that is known of its subscription."""
        known = self._reports.get(report.id)
        return known is None or _order(known) <= _order(report)

    def hear(self, report: Report) -> None:
        """Show a report that its subscription has sent."""
        self._heard.add(report.id)
        self.show(report)

    def show(self, report: Report) -> None:
        """Keep a report as the latest of its subscription, and hand it to every reader."""
        known = self._reports.get(report.id)
        self._reports[report.id] = report
        for reader in self._readers:
            reader.heard(report)
        for happening in changes(known, report) if known is not None else ():
            self._tell(happening)
        self._news.tell()

    def forget(self, subscription_id: str) -> None:
        """A subscription is let go of."""
        self._reports.pop(subscription_id, None)
        self._heard.discard(subscription_id)
        for reader in self._readers:
            reader.left(subscription_id)


def _order(report: Report) -> tuple[int, int, datetime]:
    return report.epoch, report.version, report.observed_at
