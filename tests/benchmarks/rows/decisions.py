"""What a decision of the router costs, by the number of subscriptions. No actor is asked for it.

A report comes, as it does with the answer to every request, and the next request is routed and its
choice explained: by the router's own dispatcher, up to where a subscription would be asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from itertools import count, cycle, islice
from statistics import median
from typing import Any

from actors.router.dispatching.dispatcher import Dispatcher
from actors.router.dispatching.settings import DispatchSettings
from actors.router.keys.callers import NOBODY
from actors.router.presence.followers import Followers
from actors.router.presence.sleepers import Sleepers
from pool.executions.request import ExecutionRequest
from pool.subscriptions.report import Report
from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.benchmarks.yardsticks import SORTING, sorting
from tests.support.values.examples import NOON, SONNET, spec
from tests.support.values.reports import report_at, state

FEW, MANY = 10, (100, 1_000)
DECISIONS, QUICK = 400, 100
"""In a round, and in one that is to be quick; the median of them counts."""


class _Coming:
    """Subscriptions that never come up: their reports are here already."""

    def tell_of_losses(self, _: object) -> None: ...

    async def activate(self, _: object) -> None:
        await asyncio.Event().wait()


async def _measured(reports: list[Report], decisions: int) -> float:
    """Microseconds of the median decision."""
    unused: Any = None
    coming: Any = _Coming()
    nobody = Sleepers(unused, unused, lambda: NOON, timedelta(0))
    followers = Followers(coming, nobody, lambda: NOON)
    settings = DispatchSettings(default_model=SONNET, timeout_seconds=600)
    dispatcher = Dispatcher(*[unused] * 2, followers, *[unused] * 3, settings, lambda: NOON)
    for report in reports:
        followers.follow(spec(report.id))
        followers.remember(report)
    versions, request, took = count(1), ExecutionRequest(prompt="q", max_budget_usd="0.25"), []
    for report in islice(cycle(reports), decisions):
        news = report.model_copy(update={"version": next(versions)})
        began = time.perf_counter()
        followers.remember(news)
        await dispatcher.route(request, NOBODY)
        took.append(time.perf_counter() - began)
    await followers.close()
    return 1e6 * median(took[decisions // 10 :])


@cache
def _reports(subscriptions: int) -> list[Report]:
    states = (state(f"sub{n}", spent_usd=str(n % 80)) for n in range(subscriptions))
    return [report_at(each) for each in states]


def decisions(effort: Effort) -> Iterator[Figure]:
    def decision(subscriptions: int) -> float:
        number = QUICK if effort.is_quick else DECISIONS
        return asyncio.run(_measured(_reports(subscriptions), number))

    found = interleaved(
        effort.rounds,
        sorting=lambda: 1e6 * sorting(),
        few=lambda: decision(FEW),
        **{str(each): lambda each=each: decision(each) for each in MANY},  # type: ignore[misc]
    )
    yield Figure.of(f"{FEW} subscriptions", "us", found["few"], SORTING, found["sorting"])
    for each in MANY:
        name = f"{each:,} subscriptions"
        yield Figure.of(name, "us", found[str(each)], f"{FEW} subscriptions", found["few"])


ROWS = (Row("decisions", "A decision of the router, p50", decisions),)
