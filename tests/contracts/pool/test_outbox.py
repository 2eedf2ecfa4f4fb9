"""What every outbox does, whatever it is kept in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pool.alerts.alerts import Alert, AlertKind, happened
from pool.alerts.delivery import Delivery, DeliveryStatus, ListedAlert
from pool.alerts.thresholds import AlertState
from pool.errors import InvalidRequest, StoreBusy, StoreError
from pool.storage.directory.directory import Directory
from pool.storage.directory.outbox import Outbox, Raising, Taken
from pool.storage.directory.portion import DirectoryPortion
from pool.storage.stores import Stores

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def outbox(directory: Directory) -> Outbox:
    return directory.outbox


def alert(key: str = "1", at: datetime = NOW) -> Alert:
    return happened(
        AlertKind.COOLDOWN,
        "sub1",
        "it rests",
        key=key,
        now=at,
        data={"percent": 81.5, "until": None},
    )


def level(step: int = 1, at: datetime = NOW, signal: str = "cooldown") -> AlertState:
    return AlertState(subject="sub1", signal=signal, step=step, seen_at=at)


def delivery(to: Alert, webhook: str = "ops") -> Delivery:
    return Raising(to, (webhook,)).deliveries[0]


def ended(taken: Taken, status: DeliveryStatus = DeliveryStatus.DELIVERED) -> Delivery:
    return taken.delivery.model_copy(update={"status": status, "attempts": 1})


async def test_alerts_and_levels_come_back_as_they_were_given(outbox: Outbox) -> None:
    added = await outbox.add([Raising(alert(), ("ops", "audit"))], [level()])

    kept = (await outbox.alerts(limit=10)).items
    assert tuple(added) == (alert(),)
    assert tuple(await outbox.levels()) == (level(),)
    assert kept == (
        ListedAlert(
            **alert().model_dump(),
            deliveries=(delivery(alert(), "audit"), delivery(alert(), "ops")),
        ),
    )


async def test_an_alert_that_is_raised_again_is_kept_and_delivered_once(outbox: Outbox) -> None:
    await outbox.add([Raising(alert(), ("ops",))])
    first = await outbox.take("ops", NOW, NOW + MINUTE)
    assert first is not None
    await outbox.note(ended(first))

    again = await outbox.add([Raising(alert(at=NOW + MINUTE), ("ops",))])

    assert tuple(again) == ()
    assert await outbox.take("ops", NOW + 9 * MINUTE, NOW + 10 * MINUTE) is None
    assert [each.raised_at for each in (await outbox.alerts(limit=10)).items] == [NOW]


async def test_an_alert_its_levels_and_its_deliveries_are_kept_together_or_not_at_all(
    outbox: Outbox,
) -> None:
    twice = Raising(alert("2"), ("ops", "ops"))  # no webhook can be told the same twice

    with pytest.raises(StoreError):
        await outbox.add([Raising(alert(), ("ops",)), twice], [level()])

    assert tuple(await outbox.levels()) == ()
    assert (await outbox.alerts(limit=10)).items == ()
    assert await outbox.next_due("ops") is None


async def test_of_many_routers_that_raise_the_same_one_adds_it(outbox: Outbox) -> None:
    added = await asyncio.gather(
        *(outbox.add([Raising(alert(), ("ops",))], [level()]) for _ in range(8))
    )

    assert sorted(map(len, added)) == [0] * 7 + [1]


async def test_a_level_never_goes_back(outbox: Outbox) -> None:
    await outbox.add([], [level(step=2, at=NOW)])

    await outbox.add([], [level(step=1, at=NOW + MINUTE)])
    await outbox.add([], [level(step=2, at=NOW - TICK)])
    assert tuple(await outbox.levels()) == (level(step=2),)
    calm = level(step=2, at=NOW + TICK).model_copy(update={"calm_since": NOW})
    await outbox.add([], [calm])

    assert tuple(await outbox.levels()) == (calm,)


async def test_the_delivery_that_is_due_longest_is_taken_first_and_once(outbox: Outbox) -> None:
    young, old = alert("young", NOW + TICK), alert("old")
    await outbox.add([Raising(young, ("ops",)), Raising(old, ("ops",))])

    assert await outbox.take("ops", NOW - TICK, NOW + MINUTE) is None
    assert await outbox.take("audit", NOW + TICK, NOW + MINUTE) is None
    assert await outbox.next_due("ops") == NOW
    taken = [await outbox.take("ops", NOW + TICK, NOW + MINUTE) for _ in range(3)]

    assert taken == [Taken(old, delivery(old)), Taken(young, delivery(young)), None]
    assert await outbox.next_due("ops") == NOW + MINUTE


async def test_a_delivery_whose_taker_died_is_taken_again_when_its_time_is_over(
    outbox: Outbox,
) -> None:
    await outbox.add([Raising(alert(), ("ops",))])
    first = await outbox.take("ops", NOW, NOW + MINUTE)

    assert await outbox.take("ops", NOW + MINUTE - TICK, NOW + 2 * MINUTE) is None
    assert await outbox.take("ops", NOW + MINUTE, NOW + 2 * MINUTE) == first


async def test_of_many_who_take_at_the_same_time_one_gets_it(outbox: Outbox) -> None:
    await outbox.add([Raising(alert(), ("ops",))])

    taken = await asyncio.gather(*(outbox.take("ops", NOW, NOW + MINUTE) for _ in range(8)))

    assert [each for each in taken if each] == [Taken(alert(), delivery(alert()))]


async def test_a_delivery_that_failed_waits_for_its_next_time(outbox: Outbox) -> None:
    await outbox.add([Raising(alert(), ("ops",))])
    taken = await outbox.take("ops", NOW, NOW + MINUTE)
    assert taken is not None
    later = taken.delivery.model_copy(
        update={"attempts": 1, "due_at": NOW + 5 * MINUTE, "problem": "it answered 500"}
    )

    await outbox.note(later)

    assert await outbox.next_due("ops") == NOW + 5 * MINUTE
    assert await outbox.take("ops", NOW + 5 * MINUTE, NOW + 6 * MINUTE) == Taken(alert(), later)


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.GIVEN_UP])
async def test_a_delivery_that_has_ended_stays_as_it_is(
    outbox: Outbox, status: DeliveryStatus
) -> None:
    await outbox.add([Raising(alert(), ("ops",))])
    taken = await outbox.take("ops", NOW, NOW + MINUTE)
    assert taken is not None
    await outbox.note(ended(taken, status))

    await outbox.note(taken.delivery)

    assert await outbox.next_due("ops") is None
    assert (await outbox.alerts(limit=1)).items[0].deliveries == (ended(taken, status),)


async def test_alerts_are_listed_newest_first_in_pages(outbox: Outbox) -> None:
    alerts = [alert(str(number), NOW + number * TICK) for number in range(5)]
    await outbox.add([Raising(each) for each in alerts])

    first = await outbox.alerts(limit=3)
    await outbox.add([Raising(alert("newer", NOW + MINUTE))])
    rest = await outbox.alerts(limit=3, cursor=first.next_cursor)

    shown = [each.id for page in (first, rest) for each in page.items]
    assert shown == [each.id for each in reversed(alerts)]
    assert rest.next_cursor is None
    with pytest.raises(InvalidRequest, match="cursor"):
        await outbox.alerts(limit=3, cursor="nonsense")


async def test_the_newest_are_kept_whatever_becomes_of_the_older_ones(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.storage.directory.outbox.MOST_ALERTS", 3)
    for number in range(5):
        await outbox.add([Raising(alert(str(number), NOW + number * TICK), ("ops",))])

    kept = (await outbox.alerts(limit=10)).items

    assert [each.raised_at for each in kept] == [NOW + n * TICK for n in (4, 3, 2)]
    assert await outbox.next_due("ops") == NOW + 2 * TICK


async def test_retention_forgets_alerts_and_levels_at_rest(outbox: Outbox) -> None:
    up = level(step=1, at=NOW - TICK, signal="needs_login")
    edge = level(step=2, at=NOW, signal="limit_reached")
    await outbox.add(
        [Raising(alert("old", NOW - TICK), ("ops",)), Raising(alert("edge"), ("ops",))],
        [level(step=2, at=NOW - TICK), up, edge],
    )

    assert await outbox.expire(NOW) == 1

    assert [each.id for each in (await outbox.alerts(limit=10)).items] == [alert("edge").id]
    assert await outbox.next_due("ops") == NOW
    assert {each.signal for each in await outbox.levels()} == {"needs_login", "limit_reached"}


async def test_everything_is_there_after_reopening(stores: Stores) -> None:
    first = await stores.open_directory()
    await first.outbox.add([Raising(alert(), ("ops",))], [level()])
    await first.close()

    second = await stores.open_directory()
    levels = tuple(await second.outbox.levels())
    taken = await second.outbox.take("ops", NOW, NOW + MINUTE)
    await second.close()

    assert levels == (level(),)
    assert taken == Taken(alert(), delivery(alert()))


async def test_two_routers_share_an_outbox_or_the_second_is_refused(
    stores: Stores, directory: Directory
) -> None:
    try:
        second = await stores.open_directory(wait_seconds=0.1)
    except StoreBusy:
        return
    boxes = [directory.outbox, second.outbox] * 4
    added = await asyncio.gather(
        *(each.add([Raising(alert(), ("ops",))], [level()]) for each in boxes)
    )
    taken = await asyncio.gather(*(each.take("ops", NOW, NOW + MINUTE) for each in boxes))
    await second.close()

    assert sum(map(len, added)) == 1
    assert [each for each in taken if each] == [Taken(alert(), delivery(alert()))]


async def test_what_is_exported_is_all_there_is_and_loads_once(
    stores: Stores, directory: Directory
) -> None:
    await directory.outbox.add([Raising(alert(), ("ops",))], [level()])
    taken = await directory.outbox.take("ops", NOW, NOW + MINUTE)
    assert taken is not None
    await directory.outbox.note(ended(taken))

    portions = [each async for each in directory.export() if each.levels or each.alerts]

    listed = ListedAlert(**alert().model_dump(), deliveries=(ended(taken),))
    assert portions == [DirectoryPortion(levels=(level(),)), DirectoryPortion(alerts=(listed,))]
    with pytest.raises(StoreError):
        await directory.load(DirectoryPortion(alerts=(listed,)))
    other = listed.model_copy(update={"id": "alert_2", "deliveries": (delivery(alert("2")),)})
    waiting = other.deliveries[0].model_copy(update={"alert_id": "alert_2"})
    await directory.load(
        DirectoryPortion(alerts=(other.model_copy(update={"deliveries": (waiting,)}),))
    )
    found = await directory.outbox.take("ops", NOW, NOW + MINUTE)
    assert found is not None
    assert found.delivery == waiting


async def test_a_closed_outbox_takes_no_calls(stores: Stores) -> None:
    directory = await stores.open_directory()
    await directory.close()

    with pytest.raises(StoreError, match="is closed"):
        await directory.outbox.levels()
