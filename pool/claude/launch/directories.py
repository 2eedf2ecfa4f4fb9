"""The directories of a run, looked at on the machine where it is to run.

A directory was granted by its name. Links may lead elsewhere, so the place that a name really leads
to has to be granted too, and to lie below a root of the configuration. Blocking.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pool.errors import InvalidRequest
from pool.executions.permissions import AgentSettings, Grant


def resolved(agent: AgentSettings, grant: Grant, roots: Iterable[Path]) -> AgentSettings:
    """The settings with the real places of their directories.

    Raises ``InvalidRequest``, naming the field, for one that is none, or leads outside.
    """
    real_roots = tuple(root.resolve() for root in roots)
    real_grant = grant.model_copy(
        update={"working_directories": tuple(each.resolve() for each in grant.working_directories)}
    )

    def place(field: str, path: Path) -> Path:
        real = path.resolve()
        if not real.is_dir():
            raise InvalidRequest(field, "is no directory on the machine of this subscription")
        is_inside = any(real.is_relative_to(root) for root in real_roots)
        if not is_inside or not real_grant.covers_directory(real):
            raise InvalidRequest(field, "leads to a place that is not granted, or below no root")
        return real

    working = agent.working_directory
    return agent.model_copy(
        update={
            "working_directory": working and place("agent.working_directory", working),
            "add_directories": tuple(
                place("agent.add_directories", each) for each in agent.add_directories
            ),
        }
    )
