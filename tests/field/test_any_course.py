"""Any course of requests and time, whatever each subscription answers.

What was paid for and is whole reaches its caller; no request fails while a subscription that
nothing keeps from it was not asked; nothing rests for longer than what it rests for; everything is
charged once; and nobody meets an error that has no name.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.claude.launch.launch_spec import Launch
from pool.executions.request import ExecutionRequest
from tests.support.clis.fake_runner import FakeRun, FakeRunner
from tests.support.clis.scripted_cli import SONNET
from tests.support.field.drawn_outcomes import (
    ANSWER,
    HOUR,
    LONGEST_MODEL_PAUSE,
    MINUTE,
    OUTCOMES,
    Drawn,
    Then,
)
from tests.support.field.field_pool import Field
from tests.support.field.printed_runs import concluded, output_of
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.pools.pool_requests import later
from tests.support.suite.fuzz import examples
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

OPUS = "claude-opus-4-5"
NAMED = {200, 404, 429, 503}


class Ran(NamedTuple):
    """A run: where, for which model, when, and how it ended."""

    subscription: str
    model: str
    at: datetime
    drawn: Drawn


@dataclass
class CourseRunner(FakeRunner):
    """Ends runs as drawn, in turn, and with answers from then on."""

    drawn: list[Drawn] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> FakeRun:
        run = await super().start(launch, environment)
        drawn = self.drawn.pop(0) if self.drawn else ANSWER
        self.ran.append(Ran(run.subscription, launch.model, self.clock(), drawn))
        printed = drawn.prints(self.clock(), launch.model)
        run.output = bytearray(output_of(printed))
        run.ending.set_result(concluded(printed, launch, self.clock()))
        return run


class Request(NamedTuple):
    model: str
    stream: bool


class Course(NamedTuple):
    """What happens, and how the runs of each subscription end."""

    subscriptions: Sequence[Sequence[Drawn]]
    steps: Sequence[Request | timedelta]


requests = st.builds(Request, st.sampled_from([SONNET, SONNET, OPUS]), st.booleans())
times = st.sampled_from([MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, 7 * HOUR])
endings = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4)
courses = st.builds(
    Course,
    st.lists(endings, min_size=2, max_size=3),
    st.lists(requests | requests | times, min_size=3, max_size=8),
)


@settings(max_examples=examples(20, 400), deadline=None, derandomize=True, database=None)
@given(course=courses)
def test_whatever_happens_nothing_is_lost_blamed_for_ever_or_charged_twice(
    course: Course, app: FastAPI, served: Any
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_lived(course, Path(folder), app, served))


@asynccontextmanager
async def closing(pool: LocalPool) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await pool.close()


async def _lived(course: Course, folder: Path, app: FastAPI, served: Any) -> None:
    clock, ran = ManualClock(), list[Ran]()
    runners = {
        f"sub{number}": CourseRunner(hold=True, drawn=list(endings), ran=ran, clock=clock)
        for number, endings in enumerate(course.subscriptions, 1)
    }
    pool = await local_pool_at(
        folder, *map(spec, runners), clock=clock, runner_of=lambda each: runners[each.id]
    )
    served.pool = pool
    http = AsyncClient(transport=ASGITransport(app=app), base_url="http://127.0.0.1", timeout=30)
    async with closing(pool), http:
        witness = Witness(Field(pool, http), ran, tuple(runners))
        for step in course.steps:
            if isinstance(step, timedelta):
                await witness.waits(step)
            else:
                await witness.asks(step)
        for runner in runners.values():
            runner.drawn.clear()
        await witness.finds_everybody_open()
        await witness.finds_everything_charged_once()


class Witness:
    """Sends what a course says, and knows from the runs that it saw what must come of it."""

    def __init__(self, field: Field, ran: list[Ran], subscriptions: Sequence[str]) -> None:
        self._field = field
        self._ran = ran
        self._subscriptions = subscriptions

    async def waits(self, by: timedelta) -> None:
        await later(self._field.pool, by)
        await self._nobody_rests_without_a_reason()

    async def asks(self, request: Request, subscription: str | None = None) -> None:
        """Send a request, and see that it was served as well as it could be."""
        await later(self._field.pool, timedelta(0))
        kept = {each for each in self._subscriptions if self._is_kept(each, request.model)}
        began = len(self._ran)
        body = {"prompt": "q", "model": request.model, "stream": request.stream}
        answer = await self._field.http.post(
            "/v1/executions",
            json=body if subscription is None else {**body, "subscription_id": subscription},
        )

        assert answer.status_code in NAMED, answer.text
        runs = self._ran[began:]
        if runs and runs[-1].drawn.then is Then.ANSWERED:
            assert _result(answer, request) == "yes"
            return
        assert _result(answer, request) is None
        if not self._is_over(runs, request):
            asked = {run.subscription for run in runs}
            assert {subscription} - {None} or set(self._subscriptions) - asked <= kept, (
                runs,
                answer.text,
            )
        await self._nobody_rests_without_a_reason()

    async def finds_everybody_open(self) -> None:
        """Once every reason is over, each answers for itself."""
        await later(self._field.pool, LONGEST_MODEL_PAUSE)
        for subscription in self._subscriptions:
            for model in (SONNET, OPUS):
                began = len(self._ran)
                await self.asks(Request(model, stream=False), subscription)
                assert [subscription] == [run.subscription for run in self._ran[began:]]

    async def finds_everything_charged_once(self) -> None:
        paid = sum((run.drawn.costs for run in self._ran), Decimal(0))
        assert await self._field.cost_usd() == format(paid.normalize(), "f")

    async def _nobody_rests_without_a_reason(self) -> None:
        """Whoever nothing keeps from a request is open to it: that can be asked without running."""
        for subscription, model in product(self._subscriptions, (SONNET, OPUS)):
            if not self._is_kept(subscription, model):
                wanted = ExecutionRequest(prompt="q", model=model, subscription_id=subscription)
                routing = await self._field.pool.client.route(wanted)
                (there,) = (
                    each for each in routing.candidates if each.subscription_id == subscription
                )
                assert there.refusal is None

    def _is_over(self, runs: Sequence[Ran], request: Request) -> bool:
        """Whether a request had to end with its last run, whoever else there is."""
        if not runs:
            return False
        last = runs[-1]
        if last.drawn.then is not Then.UNSURE:
            return last.drawn.then is Then.OVER or (request.stream and last.drawn.costs > 0)
        *_, before = (
            None,
            *(
                run
                for run in self._ran
                if run.subscription == last.subscription and run is not last
            ),
        )
        has_spoken = before is None or before.drawn.then is not Then.UNSURE
        return has_spoken and sum(run.drawn.then is Then.UNSURE for run in runs) > 1

    def _is_kept(self, subscription: str, model: str) -> bool:
        """Whether something that was seen there may still keep it from a request."""
        now = self._field.clock()
        return any(
            now <= run.at + run.drawn.rests
            or (run.model == model and now <= run.at + run.drawn.model_rests)
            for run in self._ran
            if run.subscription == subscription
        )


def _result(answer: Response, request: Request) -> Any:
    if answer.status_code != 200:
        return None
    if not request.stream:
        return answer.json()["result"]
    *_, last = (line for line in answer.text.splitlines() if line.startswith("data: "))
    return json.loads(last.removeprefix("data: "))["execution"]["result"]
