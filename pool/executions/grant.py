"""What a key lets the CLI do on the pool's machine: nothing, unless its key says otherwise (G9).

A grant is a list of tools and of directories to work in. A tool is named as the CLI names it, with
its rule in parentheses where it has one (``Read``, ``Bash(git log:*)``), and only what is named
word for word is granted. A directory grants what is below it, too; names are compared as they are
written, so whoever runs something there resolves links first.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from pool.values import Value

MOST_GRANTED = 100
"""Of tools, and of directories, on one key."""


def _directory(path: Path) -> Path:
    pure = PurePosixPath(path)
    if not pure.is_absolute():
        raise ValueError("is no absolute path: write it from / on the pool's machine")
    if ".." in pure.parts or "\x00" in str(path):
        raise ValueError("holds '..' or a NUL character: write the directory itself")
    return path


Tool = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,99}(\([^()\x00-\x1f\x7f]{1,200}\))?$"),
]
"""A tool as the CLI's permission rules write it."""
WorkingDirectory = Annotated[Path, AfterValidator(_directory)]


GrantedMode = Literal["acceptEdits", "plan"]
"""Permission modes of the CLI beside ``dontAsk``, which needs no grant."""


class Grant(Value):
    """The tools and working directories that the owner of a key may ask for."""

    tools: tuple[Tool, ...] = ()
    working_directories: tuple[WorkingDirectory, ...] = ()
    permission_modes: tuple[GrantedMode, ...] = ()
    mcp_servers: bool = False
    sub_agents: bool = False

    def covers_tool(self, tool: str) -> bool:
        return tool in self.tools

    def covers_directory(self, path: Path) -> bool:
        """Whether an absolute path without ``..`` is one of the directories, or below one."""
        return ".." not in path.parts and any(
            path.is_relative_to(granted) for granted in self.working_directories
        )
