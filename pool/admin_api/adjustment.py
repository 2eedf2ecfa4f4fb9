"""Adjustments: records that make up for what Anthropic saw and the ledger does not have.

Nothing is ever overwritten. For each hour and model the wanted sum of adjustments is what the
report says less what was recorded; a further record adds the difference between that and what
earlier ones add up to, under an id that says which revision it is. So the same report twice adds
nothing, a revised one adds its increment, and wanting nothing takes all of it back. Increments may
be negative: what a run used in one hour is recorded in that of its end, and then one hour has too
much where the next has too little. Per hour and model, records and adjustments together never sink
below nothing, so neither do the sums of blocks.

The ledger itself is asked what was applied before: a crash between the two stores repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pool.reconciliation.findings import Bucket
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.values import Value, instant_text

_NOTHING = ModelUsage()


class Applied(Value):
    """What the adjustments of a bucket and model add up to, and how many there are."""

    usage: ModelUsage = ModelUsage()
    revision: int = 0


def prefix(bucket: Bucket) -> str:
    """What the ids of all adjustments of a bucket begin with."""
    return f"adjustment:{bucket.organization_id}:{instant_text(bucket.starts_at)}:"


def applied(bucket: Bucket, records: Iterable[UsageRecord]) -> dict[str, Applied]:
    """By model, what was adjusted in a bucket, of the records that lie in it."""
    mine, found = prefix(bucket), dict[str, Applied]()
    for record in records:
        if record.source is not UsageSource.ADJUSTMENT or not record.id.startswith(mine):
            continue
        model, _, revision = record.id.removeprefix(mine).rpartition(":")
        known = found.get(model, Applied())
        found[model] = Applied(
            usage=known.usage + record.usage.models.get(model, _NOTHING),
            revision=max(known.revision, int(revision)),
        )
    return found


def adjustments(
    bucket: Bucket,
    subscription_id: str,
    wanted: Mapping[str, ModelUsage],
    before: Mapping[str, Applied],
    *,
    held: Iterable[str] = (),
) -> tuple[UsageRecord, ...]:
    """The records to append so that the adjustments of a bucket add up to ``wanted``.

    Models that were adjusted before and are not wanted any more are taken back; those in ``held``
    (no price is known for them) stay as they are.
    """
    made = []
    for model in sorted({*wanted, *before} - set(held)):
        known = before.get(model, Applied())
        increment = difference(wanted.get(model, _NOTHING), known.usage)
        if increment == _NOTHING:
            continue
        made.append(
            UsageRecord(
                id=f"{prefix(bucket)}{model}:{known.revision + 1}",
                subscription_id=subscription_id,
                timestamp=bucket.starts_at,
                source=UsageSource.ADJUSTMENT,
                usage=Usage(models={model: increment}),
            )
        )
    return tuple(made)


def difference(one: ModelUsage, other: ModelUsage) -> ModelUsage:
    """``one`` less ``other``, figure by figure."""
    theirs = other.model_dump()
    return ModelUsage(**{name: count - theirs[name] for name, count in one.model_dump().items()})
