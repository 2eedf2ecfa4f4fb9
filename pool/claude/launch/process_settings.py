"""The settings that a process of the CLI has for good: whether a further run can be had in
it exactly as in a process of its own.

Whatever is not known to come out the same is not to be had there. A bound of money or of turns is
the process's and not a turn's. A schema, a working directory of one run alone, or a tool that may
go on in the background after the answer is never left with a process: it would be there, or at
work, for whoever comes next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pool.claude.launch.launch_spec import Launch
from pool.executions.model_settings import ModelSettings
from pool.executions.tools.permissions import AgentSettings
from pool.executions.tools.tool import Tool
from pool.values import Value

_TRACE = "TRACEPARENT"
_TELEMETRY = "CLAUDE_CODE_ENABLE_TELEMETRY"
_OVER_WITH_THE_ANSWER = frozenset(
    {"Read", "Glob", "Grep", "Edit", "Write", "MultiEdit", "NotebookEdit", "WebFetch", "WebSearch"}
)
"""Tools that have nothing left to do once the answer is there."""


class ProcessSettings(Value):
    """The settings of a process that may run further turns of its session. Never logged."""

    session_id: str
    model: str
    system_prompt: str | None
    begins_session: bool
    """Whether it began its session, which keeps the system prompt that it began with."""
    tools: tuple[Tool, ...]
    agent: AgentSettings
    model_settings: ModelSettings
    """As it last got them; it may get others."""
    surroundings: str
    """A digest of its environment, its CLI and its login."""
    owner: str | None = None
    """Whose further sessions it may serve, once it is cleared; None: nobody's."""

    def serves(self, next_turn: ProcessSettings) -> bool:
        """Whether a process with these settings, once it has those of the model, runs a turn of
        its session as one would that was started for it; ``next_turn`` has the settings of that.
        """
        prompt = next_turn.system_prompt
        goes_by_sessions_own = prompt is None and (self.begins_session or not self.system_prompt)
        same = {
            "begins_session": self.begins_session,
            "system_prompt": self.system_prompt,
            "model_settings": self.model_settings,
            "owner": self.owner,
        }
        if not (goes_by_sessions_own or prompt == self.system_prompt):
            return False
        return next_turn.model_copy(update=same) == self

    def after(self, turn: ProcessSettings) -> ProcessSettings:
        """The settings of the process with another turn of its session: it is nobody's if not all
        of them were the same owner's.
        """
        owner = self.owner if turn.owner == self.owner else None
        return self.model_copy(update={"owner": owner, "model_settings": turn.model_settings})

    def serves_anew(self, session: ProcessSettings) -> bool:
        """Whether a process with these settings, once it has those of the model and is cleared,
        runs a new session as one would that was started for it, but for the note that it was
        cleared. Its system prompt is the one that it began with; where it began no session, nobody
        knows which that would be.
        """
        told = {"session_id": session.session_id, "model_settings": session.model_settings}
        cleared = self.model_copy(update=told)
        return self.owner is not None and self.begins_session and cleared == session


def process_settings(launch: Launch, surroundings: str) -> ProcessSettings | None:
    """The settings of a process that is started for a launch; None where it serves that alone."""
    is_bounded = launch.max_turns is not None or launch.max_budget_usd is not None
    tools = {tool.partition("(")[0] for tool in launch.tools}
    lasts = launch.json_schema is not None or not tools <= _OVER_WITH_THE_ANSWER
    agent = launch.agent
    lasts = lasts or agent.mcp_servers is not None or agent.sub_agents is not None
    lasts = lasts or bool(launch.client_tools)
    has_own_workplace = bool(tools) and agent.working_directory is None
    is_plain = not tools and agent == AgentSettings() and not launch.history
    if is_bounded or lasts or has_own_workplace:
        return None
    return ProcessSettings(
        session_id=launch.session_id,
        model=launch.model,
        system_prompt=launch.system_prompt,
        begins_session=not launch.resumes and launch.forks is None,
        tools=launch.tools,
        agent=agent,
        model_settings=launch.model_settings,
        surroundings=surroundings,
        owner=launch.owner if is_plain else None,
    )


def surroundings(environment: Mapping[str, str], executable: Path, tools: Iterable[Tool]) -> str:
    """A digest of what a process is started in: its variables, the CLI's file and the login's.

    The trace that a run belongs to is left out where nothing in the process would show it.
    Blocking.
    """
    passes_over = {} if any(tools) or environment.get(_TELEMETRY) else {_TRACE}
    known = sorted(each for each in environment.items() if each[0] not in passes_over)
    login = Path(environment.get("CLAUDE_CONFIG_DIR", "")) / ".credentials.json"
    looks = repr((known, _looks(executable), _looks(login)))
    return hashlib.sha256(looks.encode(errors="surrogateescape")).hexdigest()


def _looks(file: Path) -> tuple[str, int, int, int] | None:
    """What changes when a file does."""
    try:
        real = file.resolve()
        about = real.stat()
    except OSError:
        return None
    return (str(real), about.st_ino, about.st_size, about.st_mtime_ns)
