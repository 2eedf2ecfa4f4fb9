"""The command line of one run, and what the CLI reads on its standard input.

The argv is one that was tried against the real CLI: no tools, no settings of a user or project,
no local files, nobody to ask. Everything private goes over stdin, where no process list shows it:
first a control request with the system prompt and the schema of the answer, then the prompt as one
user message. A prompt in argv could also be taken for a flag (``-v``), and 128 KiB is all that fits
there.

Every value is joined to its flag with ``=``, so that none can become a flag of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pool.claude.launch.client_tools import server
from pool.claude.launch.launch_spec import Launch
from pool.claude.launch.model_settings import thinking_anew, thinking_request, variables_anew
from pool.executions.content.turn import content_of
from pool.executions.model_settings import ModelSettings
from pool.executions.schemas.answer_schema import normalized
from pool.executions.tools.client_tools import SERVER
from pool.executions.tools.permissions import AgentSettings

_CLOSED = ("Read", "Bash", "Edit", "Write", "WebFetch", "WebSearch", "Agent", "Task", "Skill")
"""What is denied by name unless it is granted, besides not being offered."""
_WRITERS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
_SUB_AGENTS = frozenset({"Agent", "Task"})
_FAMILIES = {
    "Read": _WRITERS | {"Read", "Glob", "Grep"},
    **dict.fromkeys(_WRITERS, _WRITERS),
    **dict.fromkeys(_SUB_AGENTS, _SUB_AGENTS),
}
"""Tools that one rule of the CLI stands for: what may not be read may not be written, a rule for
``Edit`` holds for all that write, and ``Task`` is an older name of ``Agent`` (tried on 2.1.330)."""


KEPT_DAYS = 3_651
"""For how long a run leaves transcripts alone: longer than any retention of the pool's, so that a
session which is listed can be gone on with. A shorter one would also remove what a user of the same
config directory keeps (seen on 2.1.330, which removes nothing where no source of settings says so;
earlier releases remove what is older than 30 days)."""


def argv(launch: Launch, executable: Path, folder: Path) -> tuple[str, ...]:
    """The command that runs a launch, with its files (``files``) in a folder. It holds neither
    prompt, system prompt, schema, credential nor what configures servers and agents.
    """
    return (
        *(str(executable), "-p", "--verbose", "--include-partial-messages"),
        *("--output-format=stream-json", "--input-format=stream-json"),
        *(f"--model={launch.model}", "--strict-mcp-config", "--setting-sources="),
        *("--restricted", "--permission-prompts=none"),
        # Else there would be no ``/clear``. What a prompt holds is no command either way.
        *(("--disable-slash-commands",) if launch.owner is None else ()),
        *_tools(launch),
        *(f"--{name}={folder / file}" for name, (file, _) in _documents(launch).items()),
        *_session(launch),
        *_options(launch),
    )


def _tools(launch: Launch) -> tuple[str, ...]:
    """What the run may use. ``--restricted`` keeps file tools in the working directories."""
    agent = launch.agent
    granted = dict.fromkeys(tool.partition("(")[0] for tool in launch.tools)
    allowed = (*launch.tools, *([f"mcp__{SERVER}"] if launch.client_tools else []))
    built_in = [name for name in granted if not name.startswith("mcp__")]
    denied = [name for name in _CLOSED if _FAMILIES.get(name, {name}).isdisjoint(granted)]
    settings = {
        "permissions": {"deny": denied},
        "disableAllHooks": True,
        "cleanupPeriodDays": KEPT_DAYS,
        # Else the model may name any that the account has, as it calls a sub-agent.
        **({} if _SUB_AGENTS.isdisjoint(granted) else {"availableModels": _models(launch)}),
    }
    return (
        f"--tools={','.join(built_in)}",
        *([f"--allowedTools={','.join(allowed)}"] if allowed else []),
        f"--settings={_compact(settings)}",
        f"--permission-mode={agent.permission_mode}",
        *(f"--add-dir={path}" for path in agent.add_directories),
    )


def _models(launch: Launch) -> list[str]:
    """What a run and its sub-agents may be billed for; asked for another, the CLI takes the run's
    own (tried on 2.1.330).
    """
    return sorted({launch.model, *launch.agent.models})


def files(launch: Launch) -> dict[str, bytes]:
    """The files that the command line names, which may hold secrets of the caller's."""
    return dict(_documents(launch).values())


def _documents(launch: Launch) -> dict[str, tuple[str, bytes]]:
    """By the flag that names it, a file and what stands in it."""
    agent, found = launch.agent, {}
    own = {SERVER: server()} if launch.client_tools else {}
    if agent.mcp_servers is not None or own:
        servers = _compact({"mcpServers": {**(agent.mcp_servers or {}), **own}}).encode()
        found["mcp-config"] = ("mcp.json", servers)
    if agent.sub_agents is not None:
        agents = {
            name: each.model_dump(mode="json", exclude_none=True)
            for name, each in agent.sub_agents.items()
        }
        found["agents"] = ("agents.json", _compact(agents).encode())
    if launch.continues and launch.system_prompt is not None:
        found["system-prompt-file"] = ("system_prompt.txt", launch.system_prompt.encode())
    if agent.append_system_prompt is not None:
        text = agent.append_system_prompt.encode()
        found["append-system-prompt-file"] = ("append_system_prompt.txt", text)
    return found


def _session(launch: Launch) -> tuple[str, ...]:
    if launch.forks is not None:
        return (
            f"--resume={launch.forks}",
            "--fork-session",
            f"--session-id={launch.session_id}",
        )
    name = "--resume" if launch.resumes or launch.history else "--session-id"
    return (f"{name}={launch.session_id}",)


def _options(launch: Launch) -> tuple[str, ...]:
    options = []
    goes_on = launch.resumes or launch.forks is not None
    if goes_on and launch.system_prompt is not None:
        # By default a session keeps the system prompt of its first request and ignores a new one.
        options.append("--system-prompt-snapshot=off")
    if launch.max_turns is not None:
        options.append(f"--max-turns={launch.max_turns}")
    if launch.max_budget_usd is not None:
        options.append(f"--max-budget-usd={launch.max_budget_usd}")
    return tuple(options)


def input_lines(launch: Launch) -> bytes:
    """All that a run reads: the opening request, its settings, then the prompt. One that goes on
    by itself may have begun before it reads anything: it gets the schema alone here.
    """
    if launch.continues:
        return b"" if launch.json_schema is None else opening_line(launch)
    return opening_line(launch) + thinking_line(launch) + prompt_line(launch)


def opening_line(launch: Launch) -> bytes:
    """The control request that sets the system prompt, and the schema of the answer.

    An empty system prompt replaces the CLI's own, which is 15 KB about tools that a run does not
    have; a resumed session goes on with the one it began with. A schema that the CLI cannot read
    it passes over without a word (tried on 2.1.330), so ``answer_schema`` lets none of these in;
    for one that it can read it adds its tool ``StructuredOutput`` to ``--tools=`` itself.
    """
    return _line(
        {
            "type": "control_request",
            "request_id": "opening",
            "request": {"subtype": "initialize", **_system_prompt(launch), **_schema(launch)},
        }
    )


def _system_prompt(launch: Launch) -> dict[str, str]:
    if launch.system_prompt is None and launch.tools:
        return {}  # the CLI's own tells the model how to use its tools
    return {"systemPrompt": launch.system_prompt or ""}


def _schema(launch: Launch) -> dict[str, Any]:
    return {} if launch.json_schema is None else {"jsonSchema": normalized(launch.json_schema)}


def thinking_line(launch: Launch) -> bytes:
    """The control request about the model's thinking; nothing where nobody asks for any."""
    request = thinking_request(launch.model_settings)
    if request is None:
        return b""
    return _line({"type": "control_request", "request_id": "thinking", "request": request})


def settings_lines(settings: ModelSettings, environment: Mapping[str, str]) -> dict[str, bytes]:
    """The control requests that give a process which is there the settings of the model that its
    next turn has, by the ids under which it answers them.
    """
    env = variables_anew(settings, environment)
    requests = {
        "settings": {"subtype": "apply_flag_settings", "settings": {"env": env}},
        "thinking": thinking_anew(settings),
    }
    return {
        name: _line({"type": "control_request", "request_id": name, "request": request})
        for name, request in requests.items()
    }


def claim_line(launch: Launch, work_dir: Path) -> bytes:
    """The control request that makes a parked process (``--await-claim``) the run's."""
    bound = {"cwd": str(work_dir), "system_prompt": [launch.system_prompt]}
    request = {"subtype": "claim_session", **bound}
    return _line({"type": "control_request", "request_id": "claim", "request": request})


def model_line(model: str) -> bytes:
    """The control request that sets the model of the turns to come."""
    request = {"subtype": "set_model", "model": model}
    return _line({"type": "control_request", "request_id": "model", "request": request})


def clear_line(uuid: str) -> bytes:
    """The command that ends a process's session and begins another in it: the one message that is
    not delivered as it is.
    """
    content = [{"type": "text", "text": "/clear"}]
    message = {"role": "user", "content": content}
    return _line({"type": "user", "message": message, "parent_tool_use_id": None, "uuid": uuid})


def can_be_claimed(launch: Launch) -> bool:
    """Whether a claim can make a process the run's in all that it asks for: a new session without
    tools, with a system prompt. What else a process can take is ``process_settings``' to say.
    """
    begins = not launch.resumes and launch.forks is None and not launch.history
    return (
        begins
        and bool(launch.system_prompt)
        and not launch.tools
        and launch.agent == AgentSettings()
    )


def prompt_line(launch: Launch) -> bytes:
    """The prompt as one user message, delivered as it is.

    ``client_composed`` keeps the CLI from reading ``@/path``, ``/command`` and ``!command`` in it.
    """
    return _line(
        {
            "type": "user",
            "message": {"role": "user", "content": content(launch)},
            "parent_tool_use_id": None,
            "session_id": launch.session_id,
            "uuid": prompt_uuid(launch),
            "client_composed": True,
        }
    )


def content(launch: Launch) -> list[dict[str, Any]]:
    """What is said in the prompt, part by part."""
    if launch.messages:
        return content_of(launch.messages[-1])
    images = [
        {"type": "image", "source": {"type": "base64", **image.model_dump()}}
        for image in launch.images
    ]
    return [*images, {"type": "text", "text": launch.prompt}]


def prompt_uuid(launch: Launch) -> str:
    """The prompt's uuid, which the CLI keeps in the session's transcript: where the run begins."""
    return str(uuid5(NAMESPACE_URL, f"{launch.session_id}/{launch.run_id}"))


def _line(message: dict[str, Any]) -> bytes:
    return _compact(message).encode() + b"\n"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
