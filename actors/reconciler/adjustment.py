"""Adjusting a ledger by what a comparison found, and taking that back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from actors.reconciler.comparison import Comparison, Remote
from actors.reconciler.ledgers import Ledgers, Recorded
from pool.admin_api.adjustment import adjustments, applied
from pool.admin_api.comparison import figures, token_difference
from pool.reconciliation.findings import AdjustmentMade, Finding, Reconciliation, ReportKind
from pool.usage.model_names import base_name, by_base_name
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, UsageRecord


async def adjusted(
    ledgers: Ledgers,
    comparison: Comparison,
    row: Reconciliation,
    recorded: Mapping[str, Recorded],
    remote: Remote,
    rates: LearnedPrices,
    findings: Iterable[Finding],
    now: datetime,
) -> tuple[AdjustmentMade, ...]:
    """Adjust the hour of an organization's only key; of several, nobody could say whose it is.

    What has no price is left as it is until it has one.
    """
    if comparison.kind is not ReportKind.USAGE or len(recorded) != 1:
        return ()
    ((subscription_id, ours),) = recorded.items()
    before = applied(row.bucket, ours.adjustments)
    local, wanted, held = by_base_name(ours.models), dict[str, ModelUsage](), set[str]()
    theirs = {model: usage for (_, model), usage in remote.items()}
    for base in {*local, *theirs}:
        difference = token_difference(
            base, local.get(base, ModelUsage()), theirs.get(base, ModelUsage()), rates
        )
        if difference.priced:
            wanted[ours.name_of(base)] = difference.usage
        else:
            held |= {ours.name_of(base), *(each for each in before if base_name(each) == base)}
    records = adjustments(row.bucket, subscription_id, wanted, before, held=held)
    return _made(await ledgers.append(records), findings, now)


async def reversed_(
    ledgers: Ledgers, row: Reconciliation, now: datetime
) -> tuple[AdjustmentMade, ...]:
    """Take all adjustments of a bucket back."""
    made: list[AdjustmentMade] = []
    for subscription_id in sorted({each.subscription_id for each in row.adjustments}):
        recorded = await ledgers.recorded(subscription_id, row.starts_at, row.ends_at)
        before = applied(row.bucket, recorded.adjustments)
        records = adjustments(row.bucket, subscription_id, {}, before)
        made += _made(await ledgers.append(records), (), now)
    return tuple(made)


def _made(
    records: Sequence[UsageRecord], findings: Iterable[Finding], now: datetime
) -> tuple[AdjustmentMade, ...]:
    """Records with the figures that they rest on."""
    evidence = {finding.model: finding for finding in findings}
    made = []
    for record in records:
        for model, usage in record.usage.models.items():
            finding = evidence.get(base_name(model))
            made.append(
                AdjustmentMade(
                    record_id=record.id,
                    subscription_id=record.subscription_id,
                    model=model,
                    added=figures(usage),
                    local=finding.local if finding else None,
                    remote=finding.remote if finding else None,
                    made_at=now,
                )
            )
    return tuple(made)
