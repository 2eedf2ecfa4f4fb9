"""The schedule of comparisons: hours and days that have ended long enough ago and were not
compared.

From the bucket in which an organization was seen first, or the bound of catching up, every one is
due exactly once; after a downtime that is many at a time, and they are fetched in long spans, since
polls are what is scarce. What failed is due again later, at growing intervals. The bucket of the
first sight is left out: the pool has only part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from pool.reconciliation.findings import Bucket, ReportKind
from pool.values import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_AT_ONCE = {ReportKind.USAGE: 168, ReportKind.COST: 31, ReportKind.CLAUDE_CODE: 1}
"""Buckets that one poll can bring."""
_EXTRA_LATENCY = {ReportKind.CLAUDE_CODE: timedelta(hours=1)}
_FIRST_RETRY = timedelta(minutes=5)
_LONGEST_RETRY = timedelta(hours=6)


class Span(Value):
    """Buckets of one report that lie side by side, fetched by one poll."""

    buckets: tuple[Bucket, ...]

    @property
    def starts_at(self) -> datetime:
        return self.buckets[0].starts_at

    @property
    def ends_at(self) -> datetime:
        return self.buckets[-1].ends_at


def floor(instant: datetime, kind: ReportKind) -> datetime:
    """The start of the bucket in which an instant lies."""
    return instant - (instant - _EPOCH) % kind.length


def ceiling(instant: datetime, kind: ReportKind) -> datetime:
    """The first start of a bucket that is not before an instant."""
    start = floor(instant, kind)
    return start if start == instant else start + kind.length


def buckets(
    organization_id: str, kind: ReportKind, since: datetime, until: datetime
) -> Iterator[Bucket]:
    """Those that begin in ``since <= start < until``, oldest first."""
    start = ceiling(since, kind)
    while start < until:
        yield Bucket(organization_id=organization_id, kind=kind, starts_at=start)
        start += kind.length


def ready_at(bucket: Bucket, latency: timedelta) -> datetime:
    """When Anthropic's figures of a bucket can be taken for complete."""
    return bucket.ends_at + latency + _EXTRA_LATENCY.get(bucket.kind, timedelta())


def due(
    organization_id: str,
    kind: ReportKind,
    *,
    now: datetime,
    begun_at: datetime,
    catch_up: timedelta,
    latency: timedelta,
    known: Collection[str],
) -> tuple[Bucket, ...]:
    """The buckets to be compared by themselves: ready, and in no row yet (``known``: their ids)."""
    since = max(begun_at, now - catch_up)
    found = buckets(organization_id, kind, since, now)
    return tuple(each for each in found if ready_at(each, latency) <= now and each.id not in known)


def spans(due_buckets: Iterable[Bucket]) -> tuple[Span, ...]:
    """Buckets of one organization and report put together, as far as one poll can bring them."""
    found: list[list[Bucket]] = []
    for bucket in sorted(due_buckets, key=lambda each: each.starts_at):
        last = found[-1] if found else None
        if (
            last is not None
            and last[-1].ends_at == bucket.starts_at
            and len(last) < MOST_AT_ONCE[bucket.kind]
        ):
            last.append(bucket)
        else:
            found.append([bucket])
    return tuple(Span(buckets=tuple(each)) for each in found)


def retry_at(attempts: int, now: datetime) -> datetime:
    """When to try again after so many attempts in vain."""
    doublings = max(0, min(attempts - 1, 10))
    return now + min(_LONGEST_RETRY, _FIRST_RETRY * (1 << doublings))
