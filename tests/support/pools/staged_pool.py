"""A pool on a stage: reports, costs and executions as a busy week leaves them, made by the real
rules from made-up spending, and served by the real application. Nothing runs behind it.

For what a person sees of a pool: as many subscriptions as wanted, in every state, with the same
figures each time. As a program it serves one:
``python -m tests.support.pools.staged_pool 60 8700``.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Self

from actors.router.subscription_page import shown_page
from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.alerts.delivery import ListedAlert
from pool.config import parse
from pool.errors import NotFound
from pool.executions.attempt import Attempt
from pool.executions.execution import ErrorInfo, Execution, ExecutionUsage
from pool.executions.outcome import FailureKind
from pool.executions.routing_record import Candidate, Routing
from pool.executions.session import Session, age_of
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolCall
from pool.keys.access import FULL_ACCESS
from pool.keys.api_keys import KeyStanding, ShownKey
from pool.keys.own_usage import OwnUsage, own_question, own_usage
from pool.limits.forecast import studied
from pool.limits.observations import length_of
from pool.limits.windows import RateLimitEvent, Window
from pool.money import nano_usd, usd
from pool.storage.paging import Page
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.overview.pool_overview import Overview, overview
from pool.subscriptions.report import Report
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.slots import Hold
from pool.subscriptions.state import State, UncertainCost
from pool.telemetry.counters import DISPATCH, QUEUE_WAIT, RUN, Figures, Tally
from pool.telemetry.events import EventFilter, PoolEventPage, StoredEvent
from pool.telemetry.percentiles import latencies
from pool.usage.blocks import block_at
from pool.usage.breakdown.breakdown import UsageBreakdown, UsageTable, breakdown
from pool.usage.breakdown.coverage import covered
from pool.usage.breakdown.groups import NOTHING, Sums, parts_of_block
from pool.usage.breakdown.question import GroupBy, Question, question
from pool.usage.records import ModelUsage, Usage
from pool.usage.spending import Spending
from pool.usage.totals import BlockReport, BlockTotal, LifetimeTotal
from tests.support.values.examples import spec

START_SECONDS = 150
"""It takes two on a machine that does nothing else."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NAMES = (
    *("ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hedy", "ivo", "june", "kurt", "lena"),
    *("milo", "nora", "otto", "pia", "quin", "rosa", "sven", "tess", "udo", "vera", "wim", "xena"),
)
_KINDS = ("max", "max", "team", "pro", "max")
_BUDGETS = {"max": 456, "team": 300, "pro": 90}
MODELS = {"claude-sonnet-4-5": 0.62, "claude-opus-4-5": 0.3, "claude-haiku-4-5": 0.08}
NODES = ("atlas", "borea")
"""Of a pool of many; a small one is on one."""
PROJECTS = ("search", "billing", "docs")
CALL = ToolCall(id="toolu_1", name="get_weather", input={"city": "Rome"})
MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b> & <script>1</script>"
"""What nobody's browser may take for anything but text."""


def _afternoon() -> datetime:
    """Of the latest Wednesday: a working day with something behind it."""
    today = datetime.now(UTC).replace(hour=13, minute=42, second=0, microsecond=0)
    return today - (today.weekday() - 2) % 7 * DAY


def name_of(number: int) -> str:
    first, lap = NAMES[number % len(NAMES)], number // len(NAMES)
    return f"{first}-{lap + 1}" if lap else first


class StagedPool:
    """Stands where a ``PoolClient`` would."""

    def __init__(self, count: int, *, seed: int = 7, now: datetime | None = None) -> None:
        self._random = random.Random(seed)
        self.now = now or _afternoon()
        self.costs = {name_of(n): self._costs(n) for n in range(count)}
        self.states = {name_of(n): self._state(n) for n in range(count)}
        for number, state in enumerate(self.states.values() if count > len(NODES) + 1 else ()):
            state.node = NODES[number % len(NODES)]
        self.listed = self._executions(48) if count else []

    # -- what is on the stage --------------------------------------------------------------------

    def _costs(self, number: int) -> list[tuple[datetime, int]]:
        """Of 30 days: working days are busier, and some subscriptions are."""
        budget = _BUDGETS[_KINDS[number % 5]]
        busy = (0.25 + 0.62 * self._random.random()) * (0.3 if number % 5 == 4 else 1.0)
        found = []
        at = self.now - 30 * DAY
        while at < self.now:
            hour = at.hour + at.minute / 60
            daily = 0.15 + max(0.0, math.sin((hour - 6) / 15 * math.pi))
            weekend = 0.3 if at.weekday() >= 5 else 1.0
            cost = budget / 150 * busy * daily * weekend * (0.4 + self._random.random())
            if number % 11 != 10:
                found.append((at, nano_usd(f"{cost:.6f}")))
            at += timedelta(minutes=30)
        return found

    def _state(self, number: int) -> State:
        id_, kind = name_of(number), _KINDS[number % 5]
        slots = 5 if kind != "pro" else 2
        budget = _BUDGETS[kind]
        state = State(
            spec=spec(
                id_,
                kind=kind,
                email=f"{id_}@example.com",
                weekly_budget_usd=budget,
                expected_block_usd=round(budget / 9),
                max_concurrent=slots,
                weight=0.4 if kind == "pro" else 1.0,
            ),
            epoch=1,
            version=1,
            spending=Spending([each for each in self.costs[id_] if each[0] > self.now - 9 * DAY]),
            standing=self._standing(number),
            windows=self._windows(number),
            login_expires_at=self.now + (3 * DAY + 5 * HOUR if number % 7 == 2 else 200 * DAY),
            last_request_at=self.now - timedelta(minutes=number),
            totals=LifetimeTotal(
                executions=1200 + 17 * number,
                records=1300 + 17 * number,
                usage=self._usage(sum(each for _, each in self.costs[id_])),
            ),
        )
        for run in range(
            min(slots, (3, 1, 0, 4, 0, 2)[number % 6]) if state.standing == Standing() else 0
        ):
            hold = Hold(f"session-{number}-{run}", nano_usd("0.4"))
            state.slots.take(f"{id_}-run-{run}", hold)
        if number % 25 == 1:
            state.slots.take(f"{id_}-waits-for-caller", Hold("session-caller", nano_usd("0.4")))
            state.slots.park(f"{id_}-waits-for-caller")
        state.is_asleep = number > 1 and not state.slots.running and state.standing == Standing()
        if number % 13 == 3:
            state.slots.enqueue(f"{id_}-waits", Hold("session-waits", nano_usd("0.4")))
        if number % 9 == 1:
            state.uncertain = 1
            state.uncertain_costs["doubt"] = UncertainCost(
                "doubt", nano_usd("0.85"), block_at(self.now).ends_at
            )
        self._learn(state)
        return state

    def _standing(self, number: int) -> Standing:
        if number % 10 == 9:
            return Standing(paused=True)
        if number % 12 == 5:
            cooldown = Cooldown(
                cause=FailureKind.OVERLOADED,
                evidence="529 overloaded",
                since=self.now - timedelta(seconds=10),
                until=self.now + timedelta(minutes=4),
            )
            return Standing(cooldown=cooldown, consecutive_failures=2)
        if number % 15 == 2 and number:
            cooldown = Cooldown(
                cause=FailureKind.USAGE_LIMIT,
                evidence="usage_limit_reached",
                since=self.now - HOUR,
                until=self.now + timedelta(hours=1, minutes=35),
                window="five_hour",
            )
            return Standing(cooldown=cooldown)
        if number % 20 == 7:
            cooldown = Cooldown(
                cause=FailureKind.AUTHENTICATION,
                evidence="not logged in",
                since=self.now - HOUR,
                until=self.now + timedelta(minutes=3),
            )
            return Standing(cooldown=cooldown)
        return Standing()

    def _window(self, used: float, resets_in: timedelta, **more: Any) -> Window:
        return Window(
            **{"status": "allowed", **more},
            utilization=round(used, 2),
            resets_at=self.now + resets_in,
            observed_at=self.now - timedelta(minutes=self._random.randint(1, 50)),
        )

    def _windows(self, number: int) -> dict[str, Window]:
        if number % 8 == 6:
            return {}
        used = min(0.83, 0.12 + 0.75 * self._random.random())
        week = min(0.82, 0.2 + 0.5 * self._random.random())
        limited = number % 15 == 2 and number
        five = self._window(
            1.0 if limited else used,
            timedelta(hours=1, minutes=35)
            if limited
            else timedelta(minutes=40 + 19 * (number % 13)),
            status="rejected" if limited else "allowed",
        )
        found = {
            "five_hour": five,
            "seven_day": self._window(week, timedelta(days=1 + number % 6, hours=3)),
        }
        if number % 2 == 0:
            found["seven_day_opus"] = self._window(
                min(0.98, week * 1.25), timedelta(days=1 + number % 6, hours=3), models="opus"
            )
        return found

    def _learn(self, state: State) -> None:
        """Let it have seen its windows fill as it spent, as runs show them."""
        window = state.windows.get("five_hour")
        if window is None or window.resets_at is None or window.utilization is None:
            return
        self._remember(state, "five_hour", window, 0.25 + 0.7 * window.utilization)
        opus = state.windows.get("seven_day_opus")
        if opus is not None and opus.utilization is not None:
            self._remember(state, "seven_day_opus", opus, 0.9 * opus.utilization)
        for minutes in (150, 100, 60, 30, 5):
            seen = window.observed_at - timedelta(minutes=minutes)
            share = max(0.0, window.utilization - minutes / 60 * 0.09)
            earlier = window.model_copy(
                update={"observed_at": seen, "utilization": share, "status": "allowed"}
            )
            event = RateLimitEvent(
                observed_at=seen, status="allowed", windows={"five_hour": earlier}
            )
            state.studies = studied(state.studies, [event], state.spending)

    def _remember(self, state: State, name: str, window: Window, used: float) -> None:
        """Let it have seen the window before, at its end."""
        assert window.resets_at is not None
        length = length_of(name)
        assert length is not None
        ended = min(window.resets_at - length, window.observed_at - 3 * HOUR)
        seen = {"observed_at": ended - timedelta(minutes=8), "resets_at": ended}
        figure = {"utilization": round(min(1.0, used), 2), "status": "allowed"}
        before = window.model_copy(update={**seen, **figure})
        event = RateLimitEvent(
            observed_at=before.observed_at, status="allowed", windows={name: before}
        )
        state.studies = studied(state.studies, [event], state.spending)

    def _usage(self, nano: int) -> Usage:
        return Usage(
            models={
                model: ModelUsage(
                    input_tokens=round(nano * share / 21_000),
                    output_tokens=round(nano * share / 42_000),
                    cache_creation_input_tokens=round(nano * share / 16_000),
                    cache_read_input_tokens=round(nano * share / 900),
                    cost_nano_usd=round(nano * share),
                )
                for model, share in MODELS.items()
            }
        )

    @cache  # noqa: B019 - a stage is not kept
    def _totals(self, id_: str) -> list[BlockTotal]:
        """Newest first, as a ledger tells them."""
        sums: dict[datetime, int] = {}
        for at, cost in self.costs[id_]:
            start = block_at(at).starts_at
            sums[start] = sums.get(start, 0) + cost
        return [
            BlockTotal(
                block_id=block_at(start).id,
                starts_at=start,
                ends_at=block_at(start).ends_at,
                records=10,
                usage=self._usage(nano),
            )
            for start, nano in sorted(sums.items(), reverse=True)
        ]

    def _executions(self, count: int) -> list[Execution]:
        ids = list(self.states)
        return [self._execution(n, ids[(n * 5 + n // 3) % len(ids)]) for n in range(count)]

    def _execution(self, number: int, where: str) -> Execution:
        created = self.now - timedelta(seconds=20 + 95 * number)
        status = (
            ExecutionStatus.WAITING_FOR_CALLER
            if number == 1
            else ExecutionStatus.RUNNING
            if number < 3
            else ExecutionStatus.FAILED
            if number % 9 == 5
            else ExecutionStatus.UNCERTAIN
            if number == 17
            else ExecutionStatus.SUCCEEDED
        )
        runs = not status.is_final
        cost = 0 if runs else nano_usd(f"{0.02 + 0.9 * self._random.random():.4f}")
        took = None if runs else self._random.randint(2_400, 71_000)
        model = list(MODELS)[number % 3]
        attempts = [Attempt(subscription_id=where, outcome="completed", cost_usd=usd(cost))]
        if number % 8 == 4:
            first = Attempt(
                subscription_id=next(iter(self.states)),
                outcome="overloaded",
                reason="529 overloaded",
                cost_usd=usd(0),
            )
            attempts.insert(0, first)
        failed = ErrorInfo(type="timeout", message=f"ran longer than 600 s {MARKUP}")
        return Execution(
            id=f"exec_{number:012x}{number:016x}",
            status=status,
            subscription_id=where,
            session_id=f"0b3c{number:04x}-4256-459f-9794-14ea9ca8{number % 12:04x}",
            model=model,
            result=None if status is not ExecutionStatus.SUCCEEDED else f"It is done. {MARKUP}",
            error=failed if status is ExecutionStatus.FAILED else None,
            usage=ExecutionUsage(
                cost_usd=usd(cost),
                input_tokens=1200,
                output_tokens=830,
                cache_creation_input_tokens=4100,
                cache_read_input_tokens=38_000,
                models={},
            ),
            attempts=tuple(attempts),
            routing=self._routing(where),
            tool_calls=(CALL,) if status is ExecutionStatus.WAITING_FOR_CALLER else (),
            waits_until=created + 600 * timedelta(seconds=1)
            if status is ExecutionStatus.WAITING_FOR_CALLER
            else None,
            created_at=created,
            started_at=created + timedelta(seconds=1),
            finished_at=None if took is None else created + timedelta(milliseconds=1000 + took),
            duration_ms=took,
            metadata={"project": "billing", "note": MARKUP},
        )

    def _routing(self, where: str) -> Routing:
        candidates = []
        for each in self.reports()[:6]:
            resting = each.state not in {"available", "approaching"}
            candidates.append(
                Candidate(
                    subscription_id=each.id,
                    score=each.health.score,
                    components=each.health.components,
                    refusal=each.state_reason if resting else None,
                    refused_until=each.state_until if resting else None,
                    report_age_seconds=0.4,
                )
            )
        score = next((each.score for each in candidates if each.subscription_id == where), 50.0)
        reason = f"the best of {len(self.states)} that can take it"
        return Routing(score=score, reason=reason, candidates=tuple(candidates))

    def reports(self) -> list[Report]:
        return [report(each, SubscriptionPolicy(), self.now) for each in self.states.values()]

    # -- what a client answers -------------------------------------------------------------------

    def with_access(self, _: object) -> Self:
        """On a stage everybody sees the same."""
        return self

    async def is_open(self) -> bool:
        return True

    async def authenticate(self, _: object) -> None:
        return None

    async def pool(self) -> Overview:
        figures = await self.figures()
        latency = latencies([figures.router, *figures.tallies.values()])
        return overview(self.reports(), self.now, latency=latency)

    async def subscriptions(self) -> tuple[Report, ...]:
        return tuple(self.reports())

    async def shown_subscriptions(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> str:
        listed = sorted(self.reports(), key=lambda each: each.id)
        return shown_page(listed, FULL_ACCESS, limit, cursor)

    async def subscription(self, id_: str) -> Report:
        if id_ not in self.states:
            raise NotFound("subscription", id_)
        return report(self.states[id_], SubscriptionPolicy(), self.now)

    async def blocks(
        self, id_: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[BlockReport]:
        expected = self.states[id_].spec.expected_block_usd
        items = [
            BlockReport(
                id=each.block_id,
                starts_at=each.starts_at,
                ends_at=each.ends_at,
                cost_usd=usd(each.usage.cost_nano_usd),
                percent=round(float(usd(each.usage.cost_nano_usd) / expected * 100), 2),
                records=each.records,
            )
            for each in self._totals(id_)[:limit]
        ]
        return Page[BlockReport](items=tuple(items))

    async def executions(
        self,
        *,
        limit: int = 50,
        status: ExecutionStatus | None = None,
        subscription_id: str | None = None,
        **_: object,
    ) -> Page[Execution]:
        found = [
            each
            for each in self.listed
            if status in {None, each.status} and subscription_id in {None, each.subscription_id}
        ]
        more = "more" if len(found) > limit else None
        return Page[Execution](items=tuple(found[:limit]), next_cursor=more)

    async def result(self, id_: str, **_: object) -> Execution:
        for each in self.listed:
            if each.id == id_:
                return each
        raise NotFound("execution", id_)

    async def sessions(self, *, limit: int = 50, **_: object) -> Page[Session]:
        items = [
            Session(
                id=each.session_id,
                subscription_id=each.subscription_id,
                state=age_of(each.created_at, self.now),
                last_used_at=each.created_at,
            )
            for each in self.listed[:limit]
        ]
        return Page[Session](items=tuple(items))

    async def alerts(self, **_: object) -> Page[ListedAlert]:
        return Page[ListedAlert](items=())

    async def keys(self) -> tuple[ShownKey, ...]:
        standing = KeyStanding(
            running=2,
            today_usd=usd(nano_usd("11.2")),
            week_usd=usd(nano_usd("64.9")),
            reserved_usd=usd(0),
        )
        return (
            (
                ShownKey(
                    name="ci",
                    scopes=("execute",),
                    id="config:ci",
                    declared=True,
                    weekly_budget_usd=usd(nano_usd("120")),
                    used=standing,
                ),
                ShownKey(
                    name="backend",
                    scopes=("execute", "read"),
                    id="4f1c",
                    declared=False,
                    created_at=self.now - 40 * DAY,
                ),
            )
            if self.states
            else ()
        )

    async def usage_by(
        self,
        group_by: Sequence[GroupBy],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by_totals: bool = False,
        **_: object,
    ) -> UsageBreakdown:
        asked = question(group_by, since, until, self.now, by_totals=by_totals)
        return self._broken_down(asked)

    @cache  # noqa: B019 - a stage is not kept
    def _broken_down(self, asked: Question) -> UsageBreakdown:
        return breakdown(asked, [self._table(asked, id_) for id_ in self.states])

    def _table(self, asked: Question, id_: str) -> UsageTable:
        by_key = not asked.blocks_can_tell
        sums = Sums()
        for block in self._totals(id_):
            if not (asked.since <= block.starts_at and block.ends_at <= asked.until):
                continue
            if not by_key:
                sums.add(parts_of_block(asked.group_by, id_, block))
                continue
            shares = {"ci": 0.5, "backend": 0.35, "ada's laptop": 0.15}
            for (name, share), project in zip(shares.items(), PROJECTS, strict=True):
                known = {"key": name, "day": block.block_id[:10], "block": block.block_id}
                known["tag:project"] = project
                part = block.usage.total.model_copy(
                    update={"cost_nano_usd": round(block.usage.cost_nano_usd * share)}
                )
                by = tuple(known.get(str(each), id_) for each in asked.group_by)
                sums.add([NOTHING.model_copy(update={"by": by, "usage": part})])
        groups = sums.groups()
        return UsageTable(
            groups=groups,
            total=sum(groups, NOTHING),
            covered=covered(asked, id_, asked.until, ()) if not by_key else (),
            tags=("project",),
        )

    async def own_usage(self, *, caller: str = "") -> OwnUsage:
        found = self._broken_down(own_question(None, self.now))
        return own_usage(found, None, None, self.now)

    async def figures(self) -> Figures:
        owner, router = Tally(), Tally()
        for n in range(400 if self.states else 0):
            owner = owner.timed(RUN, 3 + 60 * (n / 400) ** 3).timed(
                QUEUE_WAIT, 0.02 + (n / 400) ** 9
            )
            router = router.timed(DISPATCH, 0.004 + 0.05 * (n / 400) ** 6)
        return Figures(
            reports=tuple(self.reports()),
            tallies=dict.fromkeys(list(self.states)[:1], owner),
            router=router,
            unheard=(),
            observed_at=self.now,
        )

    async def happenings(self, **_: object) -> PoolEventPage:
        return PoolEventPage(items=(), cursor="a-0")

    async def watch(
        self, *, after: str | None = None, wanted: EventFilter | None = None
    ) -> AsyncGenerator[StoredEvent, None]:
        await asyncio.Event().wait()
        for each in ():
            yield each


@asynccontextmanager
async def staged(
    count: int, port: int = 0, keys: Keys | None = None, **how: Any
) -> AsyncIterator[str]:
    """Serve one; its address."""
    client: Any = StagedPool(count, **how)
    config = parse({"server": {"port": port}, "subscriptions": []})
    with bound(config.server) as listener:
        async with listening(create_app(client, keys or Keys({})), listener) as url:
            yield url


@contextmanager
def stage(count: int, **how: Any) -> Iterator[str]:
    """The address of a staged pool, served on a thread."""
    over, begun = asyncio.Event(), threading.Event()
    served: dict[str, Any] = {}

    async def serve() -> None:
        served["loop"] = asyncio.get_running_loop()
        async with staged(count, **how) as url:
            served["url"] = url
            begun.set()
            await over.wait()

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(asyncio.run, serve())
        serving.add_done_callback(lambda _: begun.set())
        assert begun.wait(START_SECONDS)
        if serving.done():
            serving.result()
        try:
            yield served["url"]
        finally:
            served["loop"].call_soon_threadsafe(over.set)


async def _main(count: int, port: int) -> None:
    async with staged(count, port) as url:
        print(url, flush=True)  # noqa: T201 - for whoever looks at it
        await asyncio.Event().wait()


if __name__ == "__main__":
    import sys

    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
