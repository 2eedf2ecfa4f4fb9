"""Builders of reports and states that name only what matters."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from pool.limits.windows import Window
from pool.money import nano_usd
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.report import Report
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.state import State
from pool.usage.spending import Spending
from tests.support.values.examples import NOON, spec


def state(
    id_: str = "sub1",
    *,
    spent_usd: str = "0",
    ago: timedelta = timedelta(days=1),
    standing: Standing | None = None,
    windows: dict[str, Window] | None = None,
    **settings: object,
) -> State:
    return State(
        spec=spec(id_, **settings),
        spending=Spending([(NOON - ago, nano_usd(spent_usd))]),
        standing=standing or Standing(),
        windows=windows or {},
    )


def report_at(state_: State, now: datetime = NOON) -> Report:
    return report(state_, SubscriptionPolicy(), now)


def window(
    utilization: float,
    *,
    resets_in: timedelta | None = timedelta(hours=2),
    seen: timedelta = timedelta(minutes=1),
    status: str = "allowed",
    models: str | None = None,
) -> Window:
    return Window(
        models=models,
        utilization=utilization,
        resets_at=None if resets_in is None else NOON + resets_in,
        observed_at=NOON - seen,
        status=status,
    )


USD = Decimal
