"""The other nodes of a Ray cluster, as a subscription calls them: its runs and sessions that are
there are asked for by tasks that run there for a moment.

A node is found by its name for good, so that one whose raylet was started again is found again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ray.exceptions import RayError

from actors.interfaces.other_nodes import RunElsewhere, RunState
from actors.runtime.nodes.places import Places, run_at
from pool.claude.launch.launch_spec import Launch
from pool.claude.process.process_runner import ProcessRunner
from pool.claude.transcripts.copy import CopyRefused, SessionCopy
from pool.errors import ActorLost
from pool.usage.records import Usage

LOOK_SECONDS = 2.0
"""How long a node waits for a run's end before it says that it still runs."""
ANSWER_SECONDS = 20.0
"""For a node to answer: its first task takes the start of a process."""

MakeRunner = Callable[[], ProcessRunner]


class RayOtherNodes:
    """The other nodes of one subscription; ``make_runner`` makes the runner that it has there."""

    def __init__(self, places: Places, make_runner: MakeRunner) -> None:
        self._places = places
        self._make_runner = make_runner

    async def ask(self, node: str, place: str, launch: Launch, *, stops: bool) -> RunElsewhere:
        answer = await self._at(node, _asked, place, launch, stops)
        return RunElsewhere.model_validate(answer)

    async def discard(self, node: str, launch: Launch) -> None:
        await self._at(node, _discarded, launch)

    async def session_copy(self, node: str, config_dir: str, session_id: str) -> SessionCopy:
        found = await self._at(node, _copied, config_dir, session_id)
        if isinstance(found, CopyRefused):
            raise found
        return SessionCopy.model_validate(found)

    async def _at(self, node: str, function: Callable[..., Any], *args: Any) -> Any:
        there = await self._places.called(node)
        if there is None:
            raise ActorLost(node, "no node of this name lives")
        try:
            async with asyncio.timeout(LOOK_SECONDS + ANSWER_SECONDS):
                return await run_at(there.ray_id, function, self._make_runner, *args)
        except (RayError, TimeoutError) as error:
            problem = str(error).partition("\n")[0] or type(error).__name__
            raise ActorLost(node, problem) from error


def _asked(make_runner: MakeRunner, place: str, launch: Launch, stops: bool) -> RunElsewhere:
    return asyncio.run(_look(make_runner(), place, launch, stops=stops))


async def _look(runner: ProcessRunner, place: str, launch: Launch, *, stops: bool) -> RunElsewhere:
    run = await asyncio.to_thread(runner.find, launch)
    if run is None:
        is_the_same = await asyncio.to_thread(lambda: runner.place) == place
        return RunElsewhere(state=RunState.NEVER_RAN if is_the_same else RunState.LOST)
    if stops:
        await run.stop()
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            outcome = await run.outcome()
            later = await run.later_usage()
    except TimeoutError:
        return RunElsewhere(state=RunState.RUNS, way=run.way)
    usage = outcome.usage + (later or Usage())
    ended = outcome.model_copy(update={"usage": usage})
    return RunElsewhere(state=RunState.ENDED, way=run.way, outcome=ended, later=later)


def _discarded(make_runner: MakeRunner, launch: Launch) -> None:
    run = make_runner().find(launch)
    if run is not None:
        asyncio.run(run.discard())


def _copied(make_runner: MakeRunner, config_dir: str, session_id: str) -> SessionCopy | CopyRefused:
    try:
        return make_runner().copy_session({"CLAUDE_CONFIG_DIR": config_dir}, session_id, ())
    except CopyRefused as refused:  # as a value: Ray would wrap what is raised
        return refused
