"""Permissions on the machine of a run: tools, directories, servers and sub-agents that a request
asks for, and what a key grants.

Nothing of it is given unless the caller's key grants it (G9), field by field; what is not granted
is refused with the field's name. A grant of ``Bash`` or of MCP servers lets the caller run programs
as the pool's user: the other limits bound the CLI's own file tools, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints

from pool.text import fit
from pool.values import Value

MAX_DOCUMENT_BYTES = 100_000
PermissionMode = Literal["dontAsk", "acceptEdits", "plan"]
"""How the CLI decides what no rule allows: refuse it; allow edits of files in the working
directories; or look and plan, and change nothing. Nobody is there to be asked."""


def _document(document: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(document).encode())
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"is {size} bytes long; the limit is {MAX_DOCUMENT_BYTES}")
    fitting: dict[str, Any] = fit(document)
    return fitting


Document = Annotated[dict[str, Any], AfterValidator(_document)]


class AgentSettings(Value):
    """``agent`` of a request. What is absent is not used."""

    working_directory: WorkingDirectory | None = None
    """Where it works, on the pool's machine; without it in an empty directory of its own."""
    add_directories: Annotated[tuple[WorkingDirectory, ...], Field(max_length=MOST_GRANTED)] = ()
    """Further directories that the CLI's file tools may touch."""
    permission_mode: PermissionMode = "dontAsk"
    mcp_servers: Document | None = None
    """MCP servers by name, as the CLI's configuration writes them."""
    sub_agents: Document | None = None
    """Sub-agents by name, as the CLI's ``--agents`` writes them."""
    append_system_prompt: Annotated[str, Field(max_length=1_000_000)] | None = None


class NotGranted(NamedTuple):
    """A field of a request that a grant does not cover."""

    field: str
    problem: str


def not_granted(tools: tuple[Tool, ...], agent: AgentSettings, grant: Grant) -> NotGranted | None:
    """The first thing asked for that is not granted; None where everything is."""
    return next(_missing(tools, agent, grant), None)


def _missing(tools: tuple[Tool, ...], agent: AgentSettings, grant: Grant) -> Iterator[NotGranted]:
    for tool in tools:
        if not grant.covers_tool(tool):
            granted = ", ".join(grant.tools) or "none"
            problem = f"{tool!r} is not granted to this key (granted: {granted})"
            yield NotGranted("tools", problem)
    for field, path in _directories(agent):
        if not grant.covers_directory(path):
            problem = "lies in no directory that is granted to this key: name one that does"
            yield NotGranted(field, problem)
    if agent.permission_mode != "dontAsk" and agent.permission_mode not in grant.permission_modes:
        granted = ", ".join(("dontAsk", *grant.permission_modes))
        yield NotGranted(
            "agent.permission_mode", f"is not granted to this key (granted: {granted})"
        )
    if agent.mcp_servers is not None and not grant.mcp_servers:
        yield NotGranted("agent.mcp_servers", "is not granted to this key: leave it out")
    if agent.sub_agents is not None and not grant.sub_agents:
        yield NotGranted("agent.sub_agents", "is not granted to this key: leave it out")


def _directories(agent: AgentSettings) -> Iterator[tuple[str, Path]]:
    if agent.working_directory is not None:
        yield "agent.working_directory", agent.working_directory
    for path in agent.add_directories:
        yield "agent.add_directories", path


MOST_GRANTED = 100


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


WorkingDirectory = Annotated[Path, AfterValidator(_directory)]


GrantedMode = Literal["acceptEdits", "plan"]


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
