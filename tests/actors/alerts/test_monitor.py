"""Alerts from a report to a receiver: the real outbox in SQLite, real HTTP on loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.alerts.delivery import HELD, AlertDelivery
from actors.alerts.monitor import AlertMonitor
from actors.alerts.webhook_sender import WebhookSender
from actors.router.dispatching.settings import DispatchSettings
from actors.router.router import Router
from actors.router.settings import RouterSettings
from pool.alerts.alerts import Alert, AlertKind, AlertSettings, happened
from pool.alerts.delivery import DeliveryStatus
from pool.alerts.webhooks import Webhook, WebhookSpec, signing_key
from pool.executions.request import ExecutionRequest
from pool.storage.directory.directory import Directory
from pool.storage.directory.outbox import Outbox
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.report import Report
from pool.usage.reported import ReportedModelUsage, ReportedUsage
from tests.support.pools.localpool import LocalPool
from tests.support.services.receiver import SECRET, Receiver
from tests.support.values.examples import NOON, SONNET
from tests.support.values.manual_clock import ManualClock
from tests.support.values.reports import report_at, state

MINUTE = timedelta(minutes=1)
SETTINGS = AlertSettings()


def report(percent: float = 0.0, minutes: float = 0) -> Report:
    plain = report_at(state())
    weekly = plain.weekly.model_copy(update={"percent": percent})
    return plain.model_copy(update={"weekly": weekly, "observed_at": NOON + minutes * MINUTE})


def webhook(url: str, name: str = "ops", **fields: Any) -> Webhook:
    plain = {"name": name, "url": url, "secret_env": "OPS", "allow_private": True}
    return Webhook(WebhookSpec.model_validate(plain | fields), signing_key(SECRET))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = await Receiver().start()
    yield receiver
    await receiver.close()


@pytest.fixture
async def posting() -> AsyncIterator[WebhookSender]:
    posting = WebhookSender(seconds=5)
    yield posting
    await posting.close()


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Directory]:
    directory = await SqliteStores(tmp_path).open_directory()
    yield directory
    await directory.close()


@pytest.fixture
def outbox(directory: Directory) -> Outbox:
    return directory.outbox


def courier(
    hook: Webhook, outbox: Outbox, posting: WebhookSender, clock: ManualClock
) -> AlertDelivery:
    return AlertDelivery(hook, outbox, posting, clock, timedelta(hours=SETTINGS.give_up_hours))


Start = Callable[..., Awaitable[AlertMonitor]]


@pytest.fixture
async def start(outbox: Outbox, clock: ManualClock) -> AsyncIterator[Start]:
    """An alerting that follows nothing new, with its couriers at work."""
    started: list[AlertMonitor] = []

    async def begin(*webhooks: Webhook) -> AlertMonitor:
        alerting = AlertMonitor(outbox, webhooks, SETTINGS, clock)
        alerting.follow(lambda: ((), ()))
        started.append(alerting)
        return alerting

    yield begin
    for each in started:
        await each.close()


async def test_a_crossing_reaches_a_receiver_that_can_verify_it(
    start: Start, receiver: Receiver
) -> None:
    alerting = await start(webhook(receiver.url()))

    (told,) = await alerting.consider([report(81)])
    (received,) = await receiver.wait_for(1)

    assert received.is_genuine()
    assert received.id == told.id
    assert received.json["type"] == "alert.usage_threshold"
    assert received.json["data"]["data"]["threshold_percent"] == 80


async def test_it_is_told_once_however_often_it_is_seen_and_whoever_sees_it(
    outbox: Outbox, clock: ManualClock
) -> None:
    routers = [AlertMonitor(outbox, (), SETTINGS, clock) for _ in range(4)]

    told = await asyncio.gather(
        *(each.consider([report(81, minutes)]) for minutes in range(5) for each in routers)
    )

    assert sum(map(len, told)) == 1
    assert len((await outbox.alerts(limit=10)).items) == 1


async def test_a_look_compares_only_the_reports_that_came_since_the_one_before(
    outbox: Outbox, clock: ManualClock
) -> None:
    compared: list[list[str]] = []

    class Watched(AlertMonitor):
        async def consider(
            self,
            reports: Sequence[Report],
            unheard: Collection[str] = (),
            news: Sequence[Report] | None = None,
        ) -> tuple[Alert, ...]:
            compared.append([each.id for each in news or ()])
            return await super().consider(reports, unheard, news)

    alerting = Watched(outbox, (), SETTINGS, clock)
    first, second = report().model_copy(update={"id": "sub2"}), report(81, minutes=1)
    await alerting._look(lambda: ((report(), first), ()))
    await alerting._look(lambda: ((second, first), ()))
    await alerting._look(lambda: ((second, first), ()))

    assert compared == [["sub1", "sub2"], ["sub1"]]
    assert len((await outbox.alerts(limit=10)).items) == 1


async def test_a_webhook_is_told_only_the_kinds_it_asked_for(
    start: Start, receiver: Receiver, outbox: Outbox
) -> None:
    alerting = await start(
        webhook(receiver.url(path="/all")),
        webhook(receiver.url(path="/logins"), "logins", kinds=["needs_login"]),
    )

    await alerting.consider([report(81)])
    (received,) = await receiver.wait_for(1)

    (alert,) = (await outbox.alerts(limit=10)).items
    assert received.target == "/all"
    assert [each.webhook for each in alert.deliveries] == ["ops"]


async def test_what_was_raised_before_a_crash_is_delivered_after_it_under_the_same_id(
    tmp_path: Path, receiver: Receiver, posting: WebhookSender, clock: ManualClock
) -> None:
    hook = webhook(receiver.url())
    before = await SqliteStores(tmp_path).open_directory()
    (told,) = await AlertMonitor(before.outbox, [hook], SETTINGS, clock, posting).consider(
        [report(81)]
    )
    await before.close()  # it dies before its couriers began

    after = await SqliteStores(tmp_path).open_directory()
    again = await AlertMonitor(after.outbox, [hook], SETTINGS, clock, posting).consider(
        [report(82, minutes=1)]
    )
    await courier(hook, after.outbox, posting, clock).deliver_due()
    await after.close()

    assert again == ()
    assert [each.id for each in receiver.received] == [told.id]


async def test_a_delivery_that_died_on_its_way_is_made_again_under_the_same_id(
    outbox: Outbox, receiver: Receiver, posting: WebhookSender, clock: ManualClock
) -> None:
    hook = webhook(receiver.url())
    (told,) = await AlertMonitor(outbox, [hook], SETTINGS, clock, posting).consider([report(81)])
    taken = await outbox.take("ops", NOON, NOON + HELD)
    assert taken is not None
    await posting.post(hook, taken.alert, NOON)  # it was sent, and nobody noted it

    await courier(hook, outbox, posting, clock).deliver_due()
    assert len(receiver.received) == 1
    clock.advance(HELD)
    await courier(hook, outbox, posting, clock).deliver_due()

    assert [each.id for each in receiver.received] == [told.id, told.id]
    assert len({each.body for each in receiver.received}) == 1


async def test_errors_are_tried_again_until_it_is_taken(
    outbox: Outbox, receiver: Receiver, posting: WebhookSender, clock: ManualClock
) -> None:
    receiver.script = [500, 500, 503]
    hook = webhook(receiver.url())
    await AlertMonitor(outbox, [hook], SETTINGS, clock, posting).consider([report(81)])

    for _ in range(6):
        await courier(hook, outbox, posting, clock).deliver_due()
        due_at = await outbox.next_due("ops")
        clock.now = due_at or clock.now

    (alert,) = (await outbox.alerts(limit=1)).items
    assert alert.deliveries[0].status is DeliveryStatus.DELIVERED
    assert alert.deliveries[0].attempts == 4
    assert len({each.id for each in receiver.received}) == 1
    times = [int(each.headers["webhook-timestamp"]) for each in receiver.received]
    assert len(set(times)) == 4
    assert all(each.is_genuine() for each in receiver.received)


async def test_a_retry_after_is_waited_for(
    outbox: Outbox, receiver: Receiver, posting: WebhookSender, clock: ManualClock
) -> None:
    receiver.script, receiver.answer_headers = [429], {"retry-after": "900"}
    hook = webhook(receiver.url())
    await AlertMonitor(outbox, [hook], SETTINGS, clock, posting).consider([report(81)])

    await courier(hook, outbox, posting, clock).deliver_due()

    assert await outbox.next_due("ops") == NOON + timedelta(minutes=15)


async def test_it_is_given_up_after_a_day_with_a_line_in_the_log(
    outbox: Outbox,
    receiver: Receiver,
    posting: WebhookSender,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.script = [500] * 100
    hook = webhook(receiver.url(path="/secret-path"))
    (told,) = await AlertMonitor(outbox, [hook], SETTINGS, clock, posting).consider([report(81)])

    while due_at := await outbox.next_due("ops"):
        clock.now = due_at
        await courier(hook, outbox, posting, clock).deliver_due()

    (alert,) = (await outbox.alerts(limit=1)).items
    (given_up,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert alert.deliveries[0].status is DeliveryStatus.GIVEN_UP
    assert alert.deliveries[0].problem == "it answered 500"
    assert clock.now - NOON >= timedelta(hours=24)
    assert vars(given_up)["alert_id"] == told.id
    assert "secret-path" not in str([vars(each) for each in caplog.records])


async def test_a_webhook_that_hangs_keeps_no_other_waiting(
    start: Start, receiver: Receiver, clock: ManualClock
) -> None:
    hanging = await Receiver(script=[0] * 10).start()
    alerting = await start(webhook(hanging.url(), "hangs"), webhook(receiver.url(), "works"))

    async with asyncio.timeout(5):
        await alerting.consider([report(81)])
        await hanging.wait_for(1)
        clock.advance(MINUTE)
        await alerting.consider([report(91, minutes=1)])
        received = await receiver.wait_for(2)
    await hanging.close()

    assert len({each.id for each in received}) == 2


async def test_single_happenings_are_kept_once(outbox: Outbox, clock: ManualClock) -> None:
    alert = happened(AlertKind.USAGE_DIFFERS, "sub1", "it differs", key="2026-01-28", now=NOON)
    alerting = AlertMonitor(outbox, (), SETTINGS, clock)

    assert await alerting.raise_(alert)
    assert not await alerting.raise_(alert)


async def test_the_pool_is_judged_only_when_everybody_was_heard_of(
    outbox: Outbox, clock: ManualClock
) -> None:
    empty = report_at(state(spent_usd="500"))
    alerting = AlertMonitor(outbox, (), SETTINGS, clock)

    some = await alerting.consider([empty], unheard=["sub2"])
    everybody = await alerting.consider([empty])

    assert "pool" not in {each.subject for each in some}
    assert [each.kind for each in everybody] == [AlertKind.POOL_NEARLY_DRY]


async def test_evidence_that_quotes_the_cli_is_not_in_the_log(
    outbox: Outbox, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    alert = happened(
        AlertKind.COOLDOWN, "sub1", "it rests", key="1", now=NOON, data={"reason": "what it said"}
    )

    await AlertMonitor(outbox, (), SETTINGS, clock).raise_(alert)

    assert [each.getMessage() for each in caplog.records] == ["alert raised"]
    assert "what it said" not in str(vars(caplog.records[0]))


async def with_webhooks(pool: LocalPool, *webhooks: Webhook) -> LocalPool:
    """The same pool under a router that tells these webhooks."""
    await pool.router.close()
    pool.router = await Router.activate(
        await pool.stores.open_directory(),
        pool.actors,
        RouterSettings(
            dispatch=DispatchSettings(default_model=SONNET, timeout_seconds=600),
            webhooks=webhooks,
        ),
        pool.clock,
        pool.stores,
        lambda _: pool.runner,
    )
    pool.actors.the_router = pool.router
    await pool.router.subscriptions()
    return pool


async def test_a_router_tells_its_webhooks_what_its_subscriptions_report(
    local_pool: LocalPool, receiver: Receiver
) -> None:
    pool = await with_webhooks(local_pool, webhook(receiver.url()))
    spent = ReportedUsage(
        timestamp=NOON - timedelta(days=1),
        models={SONNET: ReportedModelUsage(cost_usd=Decimal("376.2"))},
    )

    await pool.client.report_usage("sub1", spent)
    (received,) = await receiver.wait_for(1)

    assert received.is_genuine()
    assert received.json["type"] == "alert.usage_threshold"
    assert received.json["data"]["subject"] == "sub1"


async def test_a_webhook_that_hangs_does_not_slow_routing(local_pool: LocalPool) -> None:
    hanging = await Receiver(script=[0] * 100).start()
    pool = await with_webhooks(local_pool, webhook(hanging.url()))
    for n in range(20):
        await pool.router.raise_alert(
            happened(AlertKind.USAGE_DIFFERS, "sub1", "it differs", key=str(n), now=NOON)
        )
    await hanging.wait_for(1)

    async with asyncio.timeout(10):  # one attempt alone may take 15 s
        for _ in range(20):
            execution = await pool.client.execute(ExecutionRequest(prompt="say yes"))
            assert execution.result == "yes"
    await hanging.close()
