"""The directories of a run, looked at on the machine where it is to run.

A directory was granted by its name. Links may lead elsewhere, so the place that a name really leads
to has to be granted too, and to lie below a root of the configuration.

That place may be moved away and a link put there instead, at any time. So it is opened as the run
starts, one step after the other and no link followed, and entered by its descriptor. And the CLI
goes by names for as long as it runs (tried on 2.1.330: where its working directory is a link now,
what that leads to is within its bounds). So nobody may be able to move the place but the pool's own
user and root, who need no detour. Blocking.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pool.errors import InvalidRequest
from pool.executions.tools.permissions import AgentSettings, Grant


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
        os.close(_opened(field, real))
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


def entered(agent: AgentSettings) -> int | None:
    """A descriptor of the working directory, where one was resolved; whoever asks closes it.

    Raises ``InvalidRequest``, naming the field, where one of the directories is not any more what
    was resolved.
    """
    for path in agent.add_directories:
        os.close(_opened("agent.add_directories", path))
    working = agent.working_directory
    return None if working is None else _opened("agent.working_directory", working)


_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def _opened(field: str, directory: Path) -> int:
    """A descriptor of a directory, by a path that holds no link, and that others cannot change."""
    fd = os.open("/", _STEP)
    try:
        for at, name in enumerate(directory.parts[1:], 1):
            inner = os.open(name, _STEP, dir_fd=fd)
            outer, fd = fd, inner
            try:
                _check_unmovable(field, outer, inner, Path(*directory.parts[:at]))
            finally:
                os.close(outer)
    except OSError:
        os.close(fd)
        problem = "was moved, or replaced by a link, as it was looked at"
        raise InvalidRequest(field, problem) from None
    except InvalidRequest:
        os.close(fd)
        raise
    return fd


def _check_unmovable(field: str, outer: int, inner: int, where: Path) -> None:
    if is_movable(os.fstat(outer), os.fstat(inner), os.geteuid(), os.getegid()):
        problem = (
            f"could be moved away by others, who may write in {where}: have that belong to the "
            f"pool's user or root, and be written by nobody else, or name {where} itself"
        )
        raise InvalidRequest(field, problem)


def is_movable(outer: os.stat_result, inner: os.stat_result, user: int, group: int) -> bool:
    """Whether somebody but this user and root can put something else in the place of ``inner``.
    The user's own group, which on many systems has no other member, is trusted.
    """
    own = {0, user}
    if outer.st_uid not in own:
        return True
    others = stat.S_IWOTH if outer.st_gid in {0, group} else stat.S_IWOTH | stat.S_IWGRP
    is_sticky = bool(outer.st_mode & stat.S_ISVTX) and inner.st_uid in own
    return bool(outer.st_mode & others) and not is_sticky
