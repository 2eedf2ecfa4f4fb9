"""The command line of one run, and what the CLI is told on its standard input.

The argv is one that was tried against the real CLI: no tools, no settings of a user or project,
no local files, nobody to ask. Everything private goes over stdin, where no process list shows it:
first a control request with the system prompt, then the prompt as one user message. A prompt in
argv could also be taken for a flag (``-v``), and 128 KiB is all that fits there.

Every value is joined to its flag with ``=``, so that none can become a flag of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pool.claude.run import Launch

_CLOSED = {
    "permissions": {
        "deny": [
            *("Read", "Bash", "Edit", "Write", "WebFetch", "WebSearch"),
            *("Agent", "Task", "Skill"),
        ]
    },
    "disableAllHooks": True,
}


def argv(launch: Launch, executable: Path) -> tuple[str, ...]:
    """The command that runs a launch. It holds neither prompt, system prompt nor credential."""
    return (
        *(str(executable), "-p", "--verbose", "--include-partial-messages"),
        *("--output-format=stream-json", "--input-format=stream-json"),
        *(f"--model={launch.model}", "--tools=", "--strict-mcp-config", "--setting-sources="),
        *("--restricted", f"--settings={_compact(_CLOSED)}", "--permission-mode=dontAsk"),
        *("--permission-prompts=none", "--disable-slash-commands"),
        f"--resume={launch.session_id}" if launch.resumes else f"--session-id={launch.session_id}",
        *_options(launch),
    )


def _options(launch: Launch) -> tuple[str, ...]:
    options = []
    if launch.resumes and launch.system_prompt is not None:
        # By default a session keeps the system prompt of its first request and ignores a new one.
        options.append("--system-prompt-snapshot=off")
    if launch.max_turns is not None:
        options.append(f"--max-turns={launch.max_turns}")
    if launch.max_budget_usd is not None:
        options.append(f"--max-budget-usd={launch.max_budget_usd}")
    if launch.json_schema is not None:
        # On argv, not in the control request: here alone the CLI checks the schema, and refuses a
        # bad one before anything is spent. It adds its StructuredOutput tool to `--tools=` itself.
        options.append(f"--json-schema={_compact(launch.json_schema)}")
    return tuple(options)


def input_lines(launch: Launch) -> bytes:
    """All that a run reads: the opening request, then the prompt."""
    return opening_line(launch) + prompt_line(launch)


def opening_line(launch: Launch) -> bytes:
    """The control request that sets the system prompt.

    An empty one replaces the CLI's own, which is 15 KB about tools that a run does not have; a
    resumed session goes on with the one it began with.
    """
    return _line(
        {
            "type": "control_request",
            "request_id": "opening",
            "request": {"subtype": "initialize", "systemPrompt": launch.system_prompt or ""},
        }
    )


def prompt_line(launch: Launch) -> bytes:
    """The prompt as one user message, delivered as it is.

    ``client_composed`` keeps the CLI from reading ``@/path``, ``/command`` and ``!command`` in it.
    """
    return _line(
        {
            "type": "user",
            "message": {"role": "user", "content": [{"type": "text", "text": launch.prompt}]},
            "parent_tool_use_id": None,
            "session_id": launch.session_id,
            "uuid": prompt_uuid(launch),
            "client_composed": True,
        }
    )


def prompt_uuid(launch: Launch) -> str:
    """The prompt's uuid, which the CLI keeps in the session's transcript: where the run begins."""
    return str(uuid5(NAMESPACE_URL, f"{launch.session_id}/{launch.run_id}"))


def _line(message: dict[str, Any]) -> bytes:
    return _compact(message).encode() + b"\n"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
