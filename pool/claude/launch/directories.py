"""The directories of a run, looked at on the machine where it is to run.

A directory was granted by its name. Links may lead elsewhere, so the place that a name really leads
to has to be granted too, and to lie below a root of the configuration. Blocking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pool.errors import InvalidRequest
from pool.executions.permissions import AgentSettings, Grant


def make_private(environment: Mapping[str, str]) -> None:
    """Make the home and the config directory of a run, for this user alone, where they are not
    there. What cannot be made is found out by the run that needs it.
    """
    for name in ("HOME", "CLAUDE_CONFIG_DIR"):
        if named := environment.get(name):
            with suppress(OSError):
                Path(named).mkdir(mode=0o700, parents=True, exist_ok=True)


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
