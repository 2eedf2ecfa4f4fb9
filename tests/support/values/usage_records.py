"""Usage records for tests of sums: a builder that names what matters, and any records at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from pool.money import nano_usd
from pool.usage.blocks import block_at
from pool.usage.breakdown.groups import Group, Sums, parts_of_record
from pool.usage.breakdown.question import Grouping
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.totals import BlockTotal, total_usage

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = st.sampled_from([None, "a", "b"])
FIGURES = st.integers(0, 10**12)


@st.composite
def records(draw: st.DrawFn) -> UsageRecord:
    models = draw(
        st.dictionaries(
            st.sampled_from(["opus", "sonnet", "haiku"]),
            st.builds(
                ModelUsage,
                input_tokens=FIGURES,
                output_tokens=FIGURES,
                cache_creation_input_tokens=FIGURES,
                cache_read_input_tokens=FIGURES,
                cost_nano_usd=FIGURES,
            ),
        )
    )
    return UsageRecord(
        id=str(draw(st.integers(0, 10**9))),
        subscription_id=draw(st.sampled_from(["sub1", "sub2"])),
        timestamp=NOON + timedelta(seconds=draw(st.integers(-3 * 86_400, 3 * 86_400))),
        source=draw(st.sampled_from(UsageSource)),
        session_id=draw(NAMES),
        caller=draw(NAMES),
        tags={name: value for name in ("project", "team") if (value := draw(NAMES)) is not None},
        usage=Usage(models=models),
    )


GROUPINGS = st.lists(
    st.sampled_from([*Grouping, "tag:project", "tag:team"]), min_size=1, max_size=3, unique=True
)
RECORDS = st.lists(records(), max_size=20)


def grouped(group_by: Sequence[Grouping], of: Sequence[UsageRecord]) -> tuple[Group, ...]:
    sums = Sums()
    for record in of:
        sums.add(parts_of_record(group_by, record))
    return sums.groups()


def record(cost_usd: str = "1", model: str = "opus", **more: object) -> UsageRecord:
    usage = Usage(models={model: ModelUsage(cost_nano_usd=nano_usd(cost_usd))})
    known = {"id": "r", "subscription_id": "sub1", "timestamp": NOON, "usage": usage}
    return UsageRecord.model_validate({**known, **more})


def block_total(at: datetime, *of: UsageRecord) -> BlockTotal:
    block = block_at(at)
    return BlockTotal(
        block_id=block.id,
        starts_at=block.starts_at,
        ends_at=block.ends_at,
        records=len(of),
        usage=total_usage(each.usage for each in of),
    )
