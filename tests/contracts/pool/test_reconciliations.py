"""What every store of the reconciler does, whatever it is kept in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pool.errors import Fenced, InvalidRequest, StoreBusy, StoreError
from pool.reconciliation.findings import (
    AdjustmentMade,
    Bucket,
    Figures,
    Finding,
    Reconciliation,
    ReconciliationState,
    ReportKind,
    Verdict,
    untouched,
)
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.storage.reconciliations import Reconciliations
from pool.storage.stores import Stores

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def store(stores: Stores) -> AsyncIterator[Reconciliations]:
    store = await stores.open_reconciliations(wait_seconds=5)
    yield store
    await store.close()


def row(
    hours: int = 0,
    *,
    organization: str = "acme",
    kind: ReportKind = ReportKind.USAGE,
    due: datetime | None = None,
) -> Reconciliation:
    bucket = Bucket(organization_id=organization, kind=kind, starts_at=NOON + hours * HOUR)
    return untouched(bucket, NOON).model_copy(update={"next_attempt_at": due})


def compared() -> Reconciliation:
    figures = Figures(input_tokens=5, cost_usd=Decimal("0.123456789"))
    finding = Finding(
        model="claude-sonnet-4-5", local=None, remote=figures, verdict=Verdict.LOCAL_MISSING
    )
    made = AdjustmentMade(
        record_id="adjustment:acme:x:m:1",
        subscription_id="sub1",
        model="m",
        added=figures,
        local=None,
        remote=figures,
        made_at=NOON + timedelta(microseconds=7),
    )
    return row().model_copy(
        update={
            "state": ReconciliationState.COMPARED,
            "verdict": Verdict.LOCAL_MISSING,
            "findings": (finding,),
            "adjustments": (made,),
            "difference_usd": Decimal("-0.000000001"),
            "problem": ReportProblem(kind=ProblemKind.TRUNCATED, detail="\u201eja\u201c"),
        }
    )


async def test_what_is_kept_comes_back_as_it_was(store: Reconciliations) -> None:
    await store.keep([compared()])

    assert await store.find(compared().id) == compared()
    assert await store.find("nobody") is None


async def test_the_last_writing_counts(store: Reconciliations) -> None:
    await store.keep([row(due=NOON)])
    await store.keep([compared()])

    assert (await store.page(limit=10)).items == (compared(),)


async def test_an_organization_begins_once(store: Reconciliations) -> None:
    first = await store.begin("acme", NOON)
    again = await store.begin("acme", NOON + HOUR)

    assert (first, again) == (NOON, NOON)


async def test_known_ones_are_those_of_an_organization_and_report(store: Reconciliations) -> None:
    await store.keep(
        [row(-1), row(0), row(1), row(organization="other"), row(kind=ReportKind.COST)]
    )

    known = await store.known("acme", ReportKind.USAGE, NOON)

    assert known == {row(0).id, row(1).id}


async def test_planned_ones_are_due_and_the_oldest_comes_first(store: Reconciliations) -> None:
    await store.keep([row(2, due=NOON), row(1, due=NOON), row(3, due=NOON + HOUR), row(4)])

    planned = await store.planned("acme", ReportKind.USAGE, NOON, limit=10)

    assert [each.id for each in planned] == [row(1).id, row(2).id]
    assert len(await store.planned("acme", ReportKind.USAGE, NOON, limit=1)) == 1


async def test_pages_hold_everything_once_newest_first(store: Reconciliations) -> None:
    rows = [row(hours, organization=name) for hours in range(5) for name in ("acme", "b")]
    await store.keep(rows)

    found, cursor = [], None
    while True:
        page = await store.page(limit=3, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break

    expected = sorted(rows, key=lambda each: (each.starts_at, each.id), reverse=True)
    assert found == expected


async def test_a_page_can_be_of_one_organization_report_and_time(store: Reconciliations) -> None:
    await store.keep(
        [row(hours) for hours in range(5)] + [row(2, organization="b"), row(kind=ReportKind.COST)]
    )

    page = await store.page(
        limit=10,
        organization_id="acme",
        kind=ReportKind.USAGE,
        since=NOON + HOUR,
        until=NOON + 3 * HOUR,
    )

    assert [each.id for each in page.items] == [row(2).id, row(1).id]


async def test_a_cursor_of_another_list_is_refused(store: Reconciliations) -> None:
    with pytest.raises(InvalidRequest):
        await store.page(limit=10, cursor="nonsense")


async def test_polls_are_noted_by_key(store: Reconciliations) -> None:
    await store.note_poll("A", NOON)
    await store.note_poll("A", NOON + HOUR)

    assert await store.polled_at("A") == NOON + HOUR
    assert await store.polled_at("B") is None


async def test_what_is_old_is_forgotten(store: Reconciliations) -> None:
    await store.keep([row(0), row(1), row(2)])

    assert await store.expire(NOON + 2 * HOUR) == 2
    assert (await store.page(limit=10)).items == (row(2),)


async def test_everything_survives_a_new_owner(stores: Stores) -> None:
    first = await stores.open_reconciliations(wait_seconds=5)
    await first.begin("acme", NOON)
    await first.keep([compared()])
    await first.close()

    second = await stores.open_reconciliations(wait_seconds=5)

    assert second.epoch == first.epoch + 1
    assert await second.find(compared().id) == compared()
    assert await second.begin("acme", NOON + HOUR) == NOON
    await second.close()


async def test_two_owners_never_both_write(stores: Stores) -> None:
    stale = await stores.open_reconciliations(wait_seconds=5)
    try:
        fresh = await stores.open_reconciliations(wait_seconds=0.2)
    except StoreBusy:  # a file has one owner at a time
        await stale.close()
        return
    with pytest.raises(Fenced):
        await stale.keep([row()])

    assert stale.is_lost
    await fresh.keep([row()])
    await fresh.close()
    await stale.close()


async def test_a_closed_store_says_so(stores: Stores) -> None:
    store = await stores.open_reconciliations(wait_seconds=5)
    await store.close()
    await store.close()

    with pytest.raises(StoreError):
        await store.keep([row()])
