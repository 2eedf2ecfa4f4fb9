"""What the sums of a breakdown are exact for: by records, or by the totals of blocks that outlive
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pool.usage.breakdown.question import Question
from pool.usage.totals import BlockTotal
from pool.values import Instant, Value


class CoveredSpan(Value):
    """A part of the range of which the sums of a subscription are exact, and their source."""

    subscription_id: str
    since: Instant
    until: Instant
    source: Literal["records", "blocks"]
    """`records`: these, or what was summed up of them as they were kept. `blocks`: their totals."""


def covered(
    asked: Question,
    subscription_id: str,
    records_since: datetime,
    older: Sequence[BlockTotal],
    gaps: Sequence[tuple[datetime, datetime]] = (),
) -> tuple[CoveredSpan, ...]:
    """What is exact: from ``records_since`` on by records, but for ``gaps`` (oldest first); before
    that by the totals of ``older`` (newest first), except for those that an end of the range cuts.
    """
    spans = []
    edge = min(asked.until, records_since)
    if asked.blocks_can_tell and asked.since < edge:
        since = next((each.ends_at for each in older if each.starts_at < asked.since), asked.since)
        until = next((each.starts_at for each in older if each.ends_at > edge), edge)
        spans.append((since, until, "blocks"))
    since = max(asked.since, records_since)
    for begins_at, ends_at in gaps:
        spans.append((since, begins_at, "records"))
        since = ends_at
    spans.append((since, asked.until, "records"))
    return tuple(
        CoveredSpan.model_validate(
            {"subscription_id": subscription_id, "since": since, "until": until, "source": source}
        )
        for since, until, source in spans
        if since < until
    )
