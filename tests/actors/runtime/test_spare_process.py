"""When a spare is started. That the next actor comes up in it is in ``trips``."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayError

from actors.runtime import cluster, spare_process
from actors.runtime.spare_process import SpareProcess
from tests.support.suite.waiting import until

pytestmark = pytest.mark.timeout(20)


class Node:
    """A node of Ray: what its tasks find there, in turn, and how many were run."""

    def __init__(self, *found: bool | Exception) -> None:
        self.found = list(found)
        """Whether each started a process; all further ones do."""
        self.tasks = 0

    async def start(self) -> bool:
        self.tasks += 1
        found = self.found.pop(0) if self.found else True
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_process, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(spare_process, "APART_SECONDS", 0.0)


async def test_one_is_started_and_one_more_each_time_that_an_actor_may_have_taken_it() -> None:
    node = Node()
    spare = SpareProcess(node.start)

    spare.keep()
    await until(lambda: node.tasks == 1)
    spare.taken()
    await until(lambda: node.tasks == 2)


async def test_none_is_started_before_it_is_kept_or_as_long_as_actors_come_up() -> None:
    node = Node()
    spare = SpareProcess(node.start)
    spare.taken()
    await asyncio.sleep(0.2)

    spare.keep()
    for _ in range(10):
        await asyncio.sleep(0.05)
        spare.taken()
        assert node.tasks == 0
    await until(lambda: node.tasks == 1)


async def test_a_task_that_ran_in_the_spare_is_followed_by_one_that_makes_another() -> None:
    node = Node(False)

    SpareProcess(node.start).keep()

    await until(lambda: node.tasks == 2)


async def test_a_ray_that_runs_no_task_now_is_asked_again_after_the_next_actor() -> None:
    node = Node(RayError("no node of that name lives"))
    spare = SpareProcess(node.start)

    spare.keep()
    await until(lambda: node.tasks == 1)
    spare.taken()
    await until(lambda: node.tasks == 2)


async def test_a_router_that_is_made_once_more_in_its_process_keeps_one_spare() -> None:
    node = Node()
    spare = SpareProcess(node.start)

    spare.keep()
    spare.keep()
    await until(lambda: node.tasks == 1)
    await asyncio.sleep(0.3)

    assert node.tasks == 1


@pytest.mark.parametrize("has_left", [True, False])
async def test_whether_the_service_has_left_that_made_this_process(
    monkeypatch: pytest.MonkeyPatch, has_left: bool
) -> None:
    asked: list[str] = []

    def jobs(*, job_or_submission_id: str, **_: Any) -> dict[str, Any]:
        asked.append(job_or_submission_id)
        return {job_or_submission_id: SimpleNamespace(is_dead=has_left)}

    context = SimpleNamespace(get_job_id=lambda: "02000000")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(cluster, "_head", lambda: SimpleNamespace(get_all_job_info=jobs))

    assert await cluster.is_orphan() == has_left
    assert asked == ["02000000"]


async def test_a_router_whose_service_has_left_starts_none_that_ray_would_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def is_orphan() -> bool:
        return True

    monkeypatch.setattr(cluster, "is_orphan", is_orphan)
    monkeypatch.delattr(ray, "remote")

    assert await spare_process._seen_to()
