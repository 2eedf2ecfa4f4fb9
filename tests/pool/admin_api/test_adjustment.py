"""Adjustments: idempotent, independent of order, and always adding up to the last report."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pool.admin_api.adjustment import adjustments, applied
from pool.reconciliation.findings import Bucket, ReportKind
from pool.usage.records import ModelUsage, UsageRecord

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
MODELS = st.sampled_from(["claude-sonnet-4-5", "claude:odd:name", "m"])
COUNTS = st.integers(-(10**9), 10**9)
USAGES = st.builds(
    ModelUsage,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cache_creation_input_tokens=COUNTS,
    cache_read_input_tokens=COUNTS,
    cost_nano_usd=COUNTS,
)
WANTED = st.dictionaries(MODELS, USAGES, max_size=3)
EventFilter = dict[str, ModelUsage]


class Ledger:
    """Keeps a record once, as ledgers do."""

    def __init__(self) -> None:
        self.records: dict[str, UsageRecord] = {}

    def add(self, record: UsageRecord) -> None:
        self.records.setdefault(record.id, record)

    def adjust(self, bucket: Bucket, wanted: EventFilter) -> tuple[UsageRecord, ...]:
        made = adjustments(bucket, "sub1", wanted, applied(bucket, self.records.values()))
        for record in made:
            self.add(record)
        return made

    def sums(self, bucket: Bucket) -> EventFilter:
        found = applied(bucket, self.records.values())
        return {name: each.usage for name, each in found.items() if each.usage != ModelUsage()}


def bucket(hours: int = 0, organization_id: str = "acme") -> Bucket:
    starts_at = NOON + timedelta(hours=hours)
    return Bucket(organization_id=organization_id, kind=ReportKind.USAGE, starts_at=starts_at)


def plain(wanted: EventFilter) -> EventFilter:
    return {name: usage for name, usage in wanted.items() if usage != ModelUsage()}


@given(WANTED)
def test_the_same_report_twice_adds_nothing(wanted: EventFilter) -> None:
    ledger = Ledger()
    ledger.adjust(bucket(), wanted)

    assert ledger.adjust(bucket(), wanted) == ()
    assert ledger.sums(bucket()) == plain(wanted)


@given(st.lists(WANTED, max_size=6))
def test_whatever_was_reported_before_the_last_report_counts(reports: list[EventFilter]) -> None:
    ledger = Ledger()
    for wanted in reports:
        ledger.adjust(bucket(), wanted)

    assert ledger.sums(bucket()) == (plain(reports[-1]) if reports else {})


@given(st.dictionaries(st.integers(0, 30), WANTED, max_size=5), st.integers(0, 10**6))
def test_the_order_of_the_hours_does_not_matter(reports: dict[int, EventFilter], seed: int) -> None:
    one, other = Ledger(), Ledger()
    for hours, wanted in reports.items():
        one.adjust(bucket(hours), wanted)
    shuffled = [*reports.items(), *reports.items()]  # and some come twice
    random.Random(seed).shuffle(shuffled)
    for hours, wanted in shuffled:
        other.adjust(bucket(hours), wanted)

    assert one.records == other.records


@given(WANTED, WANTED)
def test_of_two_reconcilers_at_once_one_is_kept_and_the_next_report_mends_it(
    one: EventFilter, other: EventFilter
) -> None:
    ledger = Ledger()
    before = applied(bucket(), ledger.records.values())
    for record in adjustments(bucket(), "sub1", one, before):
        ledger.add(record)
    for record in adjustments(bucket(), "sub1", other, before):
        ledger.add(record)

    ledger.adjust(bucket(), other)

    assert ledger.sums(bucket()) == plain(other)


@given(WANTED, WANTED)
def test_organizations_and_hours_do_not_touch_each_other(
    one: EventFilter, other: EventFilter
) -> None:
    ledger = Ledger()
    ledger.adjust(bucket(), one)
    ledger.adjust(bucket(organization_id="b"), other)
    ledger.adjust(bucket(1), other)

    assert ledger.sums(bucket()) == plain(one)


@given(WANTED)
def test_wanting_nothing_takes_all_of_it_back(wanted: EventFilter) -> None:
    ledger = Ledger()
    ledger.adjust(bucket(), wanted)
    ledger.adjust(bucket(), {})

    assert ledger.sums(bucket()) == {}


def test_what_is_held_stays_as_it_is() -> None:
    ledger = Ledger()
    ledger.adjust(bucket(), {"m": ModelUsage(input_tokens=5)})

    before = applied(bucket(), ledger.records.values())

    assert adjustments(bucket(), "sub1", {}, before, held=["m"]) == ()
