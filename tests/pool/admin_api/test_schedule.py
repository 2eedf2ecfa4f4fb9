from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pool.admin_api.schedule import MOST_AT_ONCE, buckets, ceiling, due, floor, retry_at, spans
from pool.reconciliation.findings import Bucket, ReportKind
from tests.support.values.examples import NOON

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATENCY = timedelta(minutes=15)
KINDS = st.sampled_from(ReportKind)
INSTANTS = st.integers(-(10**6), 10**6).map(lambda seconds: NOON + timedelta(seconds=seconds))


def due_at(
    now: datetime,
    *,
    kind: ReportKind = ReportKind.USAGE,
    begun_at: datetime = NOON,
    known: frozenset[str] = frozenset(),
) -> list[datetime]:
    found = due(
        "acme",
        kind,
        now=now,
        begun_at=begun_at,
        catch_up=7 * DAY,
        latency=LATENCY,
        known=known,
    )
    return [bucket.starts_at for bucket in found]


def test_an_hour_is_due_once_it_has_ended_and_its_data_has_come() -> None:
    assert due_at(NOON + HOUR + LATENCY - timedelta(microseconds=1)) == []
    assert due_at(NOON + HOUR + LATENCY) == [NOON]


def test_the_hour_in_which_an_organization_was_seen_first_is_left_out() -> None:
    begun = NOON + timedelta(minutes=1)

    assert due_at(NOON + 2 * HOUR + LATENCY, begun_at=begun) == [NOON + HOUR]


def test_a_day_of_claude_code_comes_an_hour_later() -> None:
    midnight = NOON.replace(hour=0)
    later = midnight + DAY + LATENCY

    assert due_at(later, kind=ReportKind.COST, begun_at=midnight) == [midnight]
    assert due_at(later, kind=ReportKind.CLAUDE_CODE, begun_at=midnight) == []
    assert due_at(later + HOUR, kind=ReportKind.CLAUDE_CODE, begun_at=midnight) == [midnight]


@given(st.lists(st.integers(0, 300), max_size=20), KINDS)
def test_looked_at_whenever_each_bucket_is_due_exactly_once(
    steps: list[int], kind: ReportKind
) -> None:
    known: set[str] = set()
    seen: list[datetime] = []
    now = NOON
    for minutes in [*sorted(steps), 24 * 60 * 3]:
        now = max(now, NOON + timedelta(minutes=minutes))
        found = due(
            "acme",
            kind,
            now=now,
            begun_at=NOON,
            catch_up=7 * DAY,
            latency=LATENCY,
            known=known,
        )
        seen += [bucket.starts_at for bucket in found]
        known |= {bucket.id for bucket in found}

    assert len(seen) == len(set(seen))
    expected = [each.starts_at for each in buckets("acme", kind, NOON, NOON + 3 * DAY)]
    assert set(seen) <= set(expected)
    assert {each for each in expected if each + kind.length + 2 * HOUR <= now} <= set(seen)


@given(st.sets(st.integers(0, 600), max_size=60), KINDS)
def test_spans_hold_every_bucket_once_without_a_gap(places: set[int], kind: ReportKind) -> None:
    start = floor(NOON, kind)
    wanted = [
        Bucket(organization_id="acme", kind=kind, starts_at=start + place * kind.length)
        for place in places
    ]

    found = spans(wanted)

    assert [bucket for span in found for bucket in span.buckets] == sorted(
        wanted, key=lambda each: each.starts_at
    )
    for span in found:
        assert len(span.buckets) <= MOST_AT_ONCE[kind]
        assert span.ends_at - span.starts_at == len(span.buckets) * kind.length


@given(INSTANTS, KINDS)
def test_an_instant_lies_between_its_floor_and_its_ceiling(
    instant: datetime, kind: ReportKind
) -> None:
    below, above = floor(instant, kind), ceiling(instant, kind)

    assert below <= instant <= above
    assert above - below in {timedelta(), kind.length}


def test_retries_come_ever_later_up_to_six_hours() -> None:
    waits = [retry_at(attempts, NOON) - NOON for attempts in range(1, 30)]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(minutes=5), timedelta(hours=6))
