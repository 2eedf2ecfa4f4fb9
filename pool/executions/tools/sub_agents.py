"""Sub-agents of a run: helpers that its model may call, by name.

A sub-agent has a description, a prompt, tools and a model, and nothing else. The CLI takes more of
one: MCP servers and hooks, which are programs, and how it asks for permission. Each of these is a
grant of its own, so none comes in through here: an unknown field is refused by its name.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from pool.executions.tools.tool import Tool
from pool.foreign_text import fit
from pool.usage.model_names import ModelId
from pool.values import Value, is_kept

MOST_SUB_AGENTS = 100
MAX_SUB_AGENTS_BYTES = 100_000
MOST_TOOLS = 100
INHERIT = "inherit"
"""The model of a sub-agent that has the model of whoever calls it, in the CLI's words."""

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(fit)]


class SubAgent(Value):
    """One of ``agent.sub_agents``. What is absent is as in the run that calls it."""

    description: _Text
    """For the model that calls it: when to do so."""
    prompt: _Text
    tools: Annotated[tuple[Tool, ...], Field(max_length=MOST_TOOLS, fail_fast=True)] | None = None
    """Tools that it may use, of those of the request; without any it may use them all."""
    model: ModelId | None = None
    """The model it runs on; one that the caller's key covers."""

    @property
    def own_model(self) -> str | None:
        """The model that it names, where that may be another than the request's."""
        return None if self.model == INHERIT else self.model


_ONE = TypeAdapter[dict[str, SubAgent]](dict[_Name, SubAgent])


def _taken(agents: Any, info: ValidationInfo) -> Any:
    """What was kept before fields were refused is read without them, and never run with them."""
    if not isinstance(agents, dict):
        return agents
    if not is_kept(info):
        if len(agents) > MOST_SUB_AGENTS:  # before what is wrong with each of them is found
            raise ValueError(f"are {len(agents)}; the limit is {MOST_SUB_AGENTS}")
        return agents
    found: dict[str, SubAgent] = {}
    for name, each in agents.items():
        with suppress(ValidationError, AttributeError):
            known = {field: each[field] for field in each.keys() & SubAgent.model_fields.keys()}
            found.update(_ONE.validate_python({name: known}))
    return found


def _bounded(agents: dict[str, SubAgent]) -> dict[str, SubAgent]:
    size = sum(len(name) + len(each.model_dump_json()) for name, each in agents.items())
    if size > MAX_SUB_AGENTS_BYTES:
        raise ValueError(f"are {size} characters long; the limit is {MAX_SUB_AGENTS_BYTES}")
    return agents


SubAgents = Annotated[
    dict[_Name, SubAgent],
    Field(max_length=MOST_SUB_AGENTS),
    BeforeValidator(_taken),
    AfterValidator(_bounded),
]
