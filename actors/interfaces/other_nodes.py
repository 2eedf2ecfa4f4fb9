"""The other nodes, as a subscription calls them: what became of runs that it started there, and the
transcripts of sessions that it had there.

A run, its output, its process and its transcript stay on the machine where it was started, when the
subscription comes up on another one. So the old place is asked, and says it from what is there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from pydantic import Field

from pool.claude.launch.launch_spec import Launch
from pool.claude.transcripts.copy import SessionCopy
from pool.errors import ActorLost
from pool.executions.outcome import Outcome
from pool.executions.process_way import ProcessWay
from pool.usage.records import Usage
from pool.values import Value


class RunState(StrEnum):
    RUNS = "runs"
    ENDED = "ended"
    NEVER_RAN = "never_ran"
    LOST = "lost"
    """It is not there, and might have been run: since then the machine was started anew."""


class RunElsewhere(Value):
    """A run as the node says on which it was started."""

    state: RunState
    way: ProcessWay | None = None
    """How it came by its process there."""
    outcome: Outcome | None = Field(default=None, discriminator="outcome")
    """How it ended, with all that it can ever be charged."""
    later: Usage | None = None
    """The part of that which it was charged after its answer."""


class OtherNodes(Protocol):
    """The other nodes of the pool. ``ActorLost`` where one cannot be reached now."""

    async def ask(self, node: str, place: str, launch: Launch, *, stops: bool) -> RunElsewhere:
        """What became of a run that was started on a node, at a ``Runner``'s place there; where it
        still runs, once a while has passed. It is asked to end where ``stops`` says so.
        """
        ...

    async def discard(self, node: str, launch: Launch) -> None:
        """Remove what a run left there, once its outcome is durable."""
        ...

    async def session_copy(self, node: str, config_dir: str, session_id: str) -> SessionCopy:
        """A session's transcript, from the CLI's directory there. ``Conflict`` where it cannot be
        copied.
        """
        ...


class NoOtherNodes:
    """The other nodes where there are none, as in a test: what was elsewhere is out of reach."""

    async def ask(self, node: str, place: str, launch: Launch, *, stops: bool) -> RunElsewhere:
        del place, stops
        raise ActorLost(node, f"no node of this pool is called so; {launch.run_id} was there")

    async def discard(self, node: str, launch: Launch) -> None:
        raise ActorLost(node, f"no node of this pool is called so; {launch.run_id} was there")

    async def session_copy(self, node: str, config_dir: str, session_id: str) -> SessionCopy:
        del config_dir
        raise ActorLost(node, f"no node of this pool is called so; session {session_id} was there")


NONE_REACHABLE = NoOtherNodes()
