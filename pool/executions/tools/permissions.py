"""Permissions on the machine of a run: tools, directories, servers and sub-agents that a request
asks for, and what a key grants.

Nothing of it is given unless the caller's key grants it (G9), field by field; what is not granted
is refused with the field's name. Sub-agents get no more than the request that brings them. A grant
of ``Bash`` or of MCP servers lets the caller run programs as the pool's user: the other limits
bound the CLI's own file tools, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from pool.executions.tools.sub_agents import SubAgents
from pool.executions.tools.tool import Tool
from pool.foreign_text import fit
from pool.usage.model_names import is_meant
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
    add_directories: Annotated[
        tuple[WorkingDirectory, ...], Field(max_length=MOST_GRANTED, fail_fast=True)
    ] = ()
    """Further directories that the CLI's file tools may touch."""
    permission_mode: PermissionMode = "dontAsk"
    mcp_servers: Document | None = None
    """MCP servers by name, as the CLI's configuration writes them."""
    sub_agents: SubAgents | None = None
    """Sub-agents by name."""
    append_system_prompt: Annotated[str, Field(max_length=1_000_000)] | None = None

    @property
    def models(self) -> frozenset[str]:
        """The models that its sub-agents name."""
        named = {each.own_model for each in (self.sub_agents or {}).values()}
        return frozenset(each for each in named if each is not None)


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
            yield NotGranted("tools", _no_tool(tool, grant))
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
    yield from _of_sub_agents(tools, agent, grant)


def _of_sub_agents(
    tools: tuple[Tool, ...], agent: AgentSettings, grant: Grant
) -> Iterator[NotGranted]:
    for name, each in (agent.sub_agents or {}).items():
        field = f"agent.sub_agents.{name}"
        for tool in each.tools or ():
            if not grant.covers_tool(tool):
                yield NotGranted(f"{field}.tools", _no_tool(tool, grant))
            elif tool not in tools:
                problem = f"{tool!r} is none of the request's tools: name it there, too"
                yield NotGranted(f"{field}.tools", problem)
        if each.own_model is not None and not grant.covers_model(each.own_model):
            models = ", ".join(grant.models)
            problem = f"{each.own_model!r} is not among the models of this key ({models})"
            yield NotGranted(f"{field}.model", problem)


def _no_tool(tool: Tool, grant: Grant) -> str:
    granted = ", ".join(grant.tools) or "none"
    return f"{tool!r} is not granted to this key (granted: {granted})"


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


WorkingDirectory = Annotated[Path, AfterValidator(_directory)]


GrantedMode = Literal["acceptEdits", "plan"]


class Grant(Value):
    """The tools, working directories and models that the owner of a key may ask for."""

    tools: tuple[Tool, ...] = ()
    working_directories: tuple[WorkingDirectory, ...] = ()
    permission_modes: tuple[GrantedMode, ...] = ()
    mcp_servers: bool = False
    sub_agents: bool = False
    models: tuple[str, ...] = ("*",)
    """Patterns of the models that sub-agents may run on."""

    def covers_tool(self, tool: str) -> bool:
        return tool in self.tools

    def covers_model(self, model: str) -> bool:
        """Whether a sub-agent may name it. An alias is meant where its whole family is."""
        return is_meant(model, self.models)

    def covers_directory(self, path: Path) -> bool:
        """Whether an absolute path without ``..`` is one of the directories, or below one."""
        return ".." not in path.parts and any(
            path.is_relative_to(granted) for granted in self.working_directories
        )
