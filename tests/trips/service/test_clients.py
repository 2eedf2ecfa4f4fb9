"""The clients where they are at home: in a program beside the cluster, and inside Ray's tasks and
actors. Real Ray, a real service and a CLI that answers at once.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx
import pytest

from actors.client.blocking import BlockingPoolClient
from actors.client.client import PoolClient
from actors.runtime.connecting import connect, ray
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus
from pool.subscriptions.spec import SubscriptionChange
from tests.support.callers.behaviours import BEHAVIOURS, BRINGING_A_SUBSCRIPTION, Behaviour
from tests.support.callers.drivers import Blocking, HttpClient
from tests.support.services import shared_pool
from tests.support.services.service import Service
from tests.support.suite.in_full import IS_FULL
from tests.support.suite.paths import ROOT

pytestmark = pytest.mark.timeout(240)

TASKS, EACH, IN_FLIGHT, SLOTS = 4 if IS_FULL else 2, 12, 8, 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return shared_pool.AWKWARD.ready(tmp_path_factory.mktemp).service


@pytest.fixture(scope="module")
def joined(service: Service) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLAUDE_POOL_CONFIG", str(service.config))
        connect()
        yield
        ray.shutdown()


@pytest.fixture
def client(joined: None) -> PoolClient:
    return connect(max_in_flight=IN_FLIGHT)


@pytest.fixture
def blocking(client: PoolClient) -> Iterator[BlockingPoolClient]:
    with BlockingPoolClient(client) as pool:
        yield pool


@pytest.fixture
async def http(service: Service) -> AsyncIterator[HttpClient]:
    async with httpx.AsyncClient(
        base_url=service.url, timeout=60, trust_env=False, headers=service.operator
    ) as client:
        yield HttpClient(client)


WAYS = ("http", "async", "blocking")
PAIRS = [
    pytest.param(each, way, id=f"{each.__name__}-{way}")
    for each in BEHAVIOURS
    for way in (WAYS if IS_FULL or each not in BRINGING_A_SUBSCRIPTION else WAYS[:1])
]
"""A process comes up for each new subscription: in short that is once, since HTTP is served by the
asynchronous client. Without Ray it is every way in ``tests/clients``.
"""


@pytest.mark.parametrize(("behaviour", "way"), PAIRS)
async def test_every_way_behaves_alike(
    behaviour: Behaviour,
    way: str,
    http: HttpClient,
    client: PoolClient,
    blocking: BlockingPoolClient,
) -> None:
    ways: dict[str, Any] = {"http": http, "async": client, "blocking": Blocking(blocking)}

    await behaviour(ways[way])


class Watching:
    """Notes how much waits at the owners, while something goes on."""

    def __init__(self, pool: BlockingPoolClient) -> None:
        self._pool = pool
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = 0
        self.most_running = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            reports = self._pool.subscriptions()
            self.most = max(self.most, sum(each.queued for each in reports))
            self.most_running = max(self.most_running, sum(each.running for each in reports))


def queues(pool: BlockingPoolClient, length: int) -> None:
    for id_ in ("sub1", "sub2"):
        pool.change(id_, SubscriptionChange(max_queued=length))


def in_tasks(pool: BlockingPoolClient, prompts: int, patience_seconds: float) -> list[Execution]:
    """Have some tasks ask for so many answers each, all at once."""

    @ray.remote(num_cpus=0)
    def batch(pool: BlockingPoolClient, task: int) -> list[Execution]:
        def execute(number: int) -> Execution:
            return pool.execute(
                ask_(prompt=f"question {task}.{number}"), patience_seconds=patience_seconds
            )

        with pool, ThreadPoolExecutor(prompts) as threads:
            return list(threads.map(execute, range(prompts)))

    from pool.executions.request import ExecutionRequest as ask_  # noqa: N813 - pickled with the task

    batches: Any = ray.get([batch.remote(pool, task) for task in range(TASKS)])  # type: ignore[call-arg]
    return [execution for each in batches for execution in each]


def test_many_prompts_from_tasks_wait_at_home_and_not_at_the_owners(
    blocking: BlockingPoolClient,
) -> None:
    queues(blocking, 1000)

    began = time.monotonic()
    with Watching(blocking) as seen:
        executions = in_tasks(blocking, EACH, patience_seconds=0)

    print(f"{time.monotonic() - began:.1f} s, {seen.most} waited at most")  # noqa: T201
    assert [each.status for each in executions] == [ExecutionStatus.SUCCEEDED] * TASKS * EACH
    assert len({each.id for each in executions}) == TASKS * EACH
    assert seen.most_running <= SLOTS
    assert 0 < seen.most <= TASKS * IN_FLIGHT


def test_what_full_queues_refuse_is_asked_again_until_it_was_served(
    blocking: BlockingPoolClient,
) -> None:
    queues(blocking, 2)

    with Watching(blocking) as seen:
        executions = in_tasks(blocking, EACH, patience_seconds=120)

    queues(blocking, 50)
    assert [each.status for each in executions] == [ExecutionStatus.SUCCEEDED] * TASKS * EACH
    assert 0 < seen.most <= 2 * 2


def test_an_actor_keeps_a_client_and_an_async_actor_awaits_it(
    client: PoolClient, blocking: BlockingPoolClient
) -> None:
    @ray.remote(num_cpus=0)
    class Asking:
        def __init__(self, pool: BlockingPoolClient) -> None:
            self.pool = pool

        def answer(self, prompt: str) -> str | None:
            from pool.executions.request import ExecutionRequest

            return self.pool.execute(ExecutionRequest(prompt=prompt)).result

    @ray.remote(num_cpus=0)
    class AskingAsynchronously:
        def __init__(self, pool: PoolClient) -> None:
            self.pool = pool

        async def answers(self, prompts: list[str]) -> list[str | None]:
            from pool.executions.request import ExecutionRequest

            executing = (self.pool.execute(ExecutionRequest(prompt=each)) for each in prompts)
            return [each.result for each in await asyncio.gather(*executing)]

    asking: Any = Asking.remote(blocking)  # type: ignore[attr-defined]
    asynchronously: Any = AskingAsynchronously.remote(client)  # type: ignore[attr-defined]

    assert ray.get([asking.answer.remote(each) for each in "ab"]) == ["answer", "answer"]
    assert ray.get(asynchronously.answers.remote(list("abcdefghijkl"))) == ["answer"] * 12


def test_a_client_is_sent_along_and_costs_little_where_it_arrives(
    blocking: BlockingPoolClient,
) -> None:
    @ray.remote(num_cpus=0)
    def measured(pool: BlockingPoolClient) -> tuple[float, float, float]:
        import pickle

        def seconds(call: Any) -> float:
            began = time.perf_counter()
            call()
            return time.perf_counter() - began

        pool.subscriptions()
        sent = pickle.dumps(pool)
        made = seconds(lambda: pickle.loads(sent))
        new = pickle.loads(sent)
        return made, seconds(new.subscriptions), seconds(new.subscriptions)

    ray.get(measured.remote(blocking))  # type: ignore[call-arg]
    made, first, next_ = ray.get(measured.remote(blocking))  # type: ignore[call-arg]

    print(f"made {made * 1e6:.0f} us, first {first * 1e3:.1f} ms, next {next_ * 1e3:.1f} ms")  # noqa: T201
    assert made < 0.05
    assert first < 2


def test_the_example_with_tasks_runs_beside_the_service(service: Service) -> None:
    page = (ROOT / "deploy" / "python.md").read_text(encoding="utf-8")
    examples = [each.split("```")[0] for each in page.split("```python")[1:]]
    (example,) = (each for each in examples if "@ray.remote" in each)

    ended = subprocess.run(
        [sys.executable, "-c", example],
        env={**os.environ, "CLAUDE_POOL_CONFIG": str(service.config)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["answer"] * 8
