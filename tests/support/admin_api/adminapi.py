"""The Admin API's stand-in beside a bill that tests write by hand, and a client of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import httpx

from api.demo.standin.bill import Bill, Line, Usage, cost_nano_usd, fingerprint
from pool.admin_api.client import AdminApi
from tests.support.admin_api.admin_standin import ADMIN_KEY, AdminStandin, create_admin_api
from tests.support.values.examples import NOON, SONNET
from tests.support.values.manual_clock import ManualClock

KEY = "sk-ant-api-test-1"
ACCOUNT = "test-token-1"


class Sleeper:
    """Sleeping is the passing of a clock's time."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))


def billed(
    bill: Bill,
    at: datetime,
    *,
    token: str = KEY,
    model: str = f"{SONNET}-20250929",
    usage: Usage | None = None,
) -> Line:
    """A request that was answered and billed."""
    number = len(bill.lines())
    usage = usage or Usage()
    line = Line(
        credential=fingerprint(token),
        account="a",
        model=model,
        usage=usage,
        cost_nano_usd=cost_nano_usd(model, usage),
        message_id=f"msg_{number}",
        request_id=f"req_{number}",
        outcome="open",
        billed_at=at,
    )
    bill.begin(line)
    return bill.settle(line.message_id, "completed", usage)


def admin_standin(clock: ManualClock, bill: Bill | None = None) -> AdminStandin:
    return AdminStandin(bill or Bill(), clock)


def http_of(mind: AdminStandin) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_admin_api(mind))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def at_once() -> None:
    """Polls go out as they come."""


def client_of(
    mind: AdminStandin,
    sleeper: Sleeper,
    *,
    key: str = ADMIN_KEY,
    turn: Callable[[], Awaitable[None]] = at_once,
    http: httpx.AsyncClient | None = None,
) -> AdminApi:
    return AdminApi(http or http_of(mind), key, turn=turn, clock=sleeper.clock, sleep=sleeper)


__all__ = [
    "ACCOUNT",
    "ADMIN_KEY",
    "KEY",
    "NOON",
    "Sleeper",
    "admin_standin",
    "at_once",
    "billed",
    "client_of",
    "http_of",
]  # fmt: skip
