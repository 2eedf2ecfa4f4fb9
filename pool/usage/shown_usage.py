"""Records and blocks of usage as they are shown: in US dollars, without what stays inside."""

from __future__ import annotations

from decimal import Decimal

from pool.money import usd
from pool.usage.records import Retraction, UsageRecord, UsageReport, UsageSource, usage_report
from pool.usage.totals import BlockReport, BlockTotal
from pool.values import Instant, Value


class ShownRecord(Value):
    """A usage record as it is shown."""

    id: str
    subscription_id: str
    timestamp: Instant
    source: UsageSource
    execution_id: str | None
    session_id: str | None
    caller: str | None
    """The name of the key whose request it was."""
    tags: dict[str, str]
    """Of the request's metadata, what ``pool.tags`` names."""
    retracted: Retraction | None
    """It was taken back: another record takes away what this one adds."""
    retraction: Retraction | None
    """It takes away what another record has added."""
    usage: UsageReport


def shown_record(record: UsageRecord) -> ShownRecord:
    """A record as it is shown, in US dollars."""
    return ShownRecord(
        **record.model_dump(exclude={"usage", "call", "size", "tenant"}),
        usage=usage_report(record.usage),
    )


def shown_block(total: BlockTotal, expected_block_usd: Decimal) -> BlockReport:
    """A block of the history as it is shown."""
    cost = usd(total.usage.cost_nano_usd)
    return BlockReport(
        id=total.block_id,
        starts_at=total.starts_at,
        ends_at=total.ends_at,
        cost_usd=cost,
        percent=round(float(100 * cost / expected_block_usd), 3),
        records=total.records,
    )
