"""Readers: whoever goes by reports as they come, and does not look at all of them again."""

from __future__ import annotations

from typing import Protocol

from pool.subscriptions.report import Report


class ReportReader(Protocol):
    """Somebody who goes by reports as they come, and does not look at all of them again."""

    def heard(self, report: Report) -> None:
        """A report is the latest of its subscription now."""
        ...

    def left(self, subscription_id: str) -> None:
        """A subscription is let go of."""
        ...


class Readers:
    """All of them."""

    def __init__(self) -> None:
        self._readers: list[ReportReader] = []

    def add(self, reader: ReportReader) -> None:
        self._readers.append(reader)

    def heard(self, report: Report) -> None:
        for reader in self._readers:
            reader.heard(report)

    def left(self, subscription_id: str) -> None:
        for reader in self._readers:
            reader.left(subscription_id)
