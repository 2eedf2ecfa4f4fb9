"""Callers' own tools, as the CLI sees them: an MCP server inside of whoever starts it.

The CLI speaks to such a server over its own stdin and stdout, in control requests. The server is
named in the configuration that the command line has, since it has to be known before a turn begins
that goes on by itself (tried on 2.1.330: named in ``initialize``, it came too late for that). Tried
there as well, and the reason of what stands here:

- The tools are run several at a time only where they say that they read (``readOnlyHint``); nobody
  else looks at that.
- A description is cut off beyond 4,096 characters. One of the input is not: the rest is in it.
- Results beyond 25,000 tokens are cut off, or put into files, unless that is said otherwise.
- The API refuses a forced choice beside thinking. ``CLAUDE_CODE_DISABLE_THINKING=1`` turns that off
  (``MAX_THINKING_TOKENS=0`` does not where a model thinks adaptively), and with it what the CLI
  sends along with it; a choice in the extra body reaches the API as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pool.claude.launch.extra_body import extra_body
from pool.claude.launch.launch_spec import Launch
from pool.executions.tools.client_tools import PREFIX, SERVER, ClientTool, ToolChoice

MAX_DESCRIPTION_CHARACTERS = 4_000
_FOREVER_MS = 100_000_000
"""28 hours, longer than any run may take: the pool ends waits itself."""
_GOES_ON = "The rest of this description is that of the tool's input."
_RESULTS = "The tools have given their results."
"""Said after results that another process takes up, since the CLI says something there."""


def server() -> dict[str, Any]:
    """The entry of the CLI's configuration of MCP servers."""
    return {
        "type": "sdk",
        "name": SERVER,
        "timeout": _FOREVER_MS,
        "alwaysLoad": True,
        "disableAutoBackground": True,
    }


def variables(launch: Launch, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a process with such tools needs besides; none without them."""
    if not launch.client_tools:
        return {}
    going_on = {"CLAUDE_CODE_RESUME_INTERRUPTED_TURN": "1", "CLAUDE_CODE_RESUME_PROMPT": _RESULTS}
    thinks_none = launch.tool_choice.is_forced and launch.model_settings.thinking is None
    return {
        "MCP_TIMEOUT": str(_FOREVER_MS),
        "MCP_TOOL_TIMEOUT": str(_FOREVER_MS),
        "CLAUDE_CODE_MCP_AUTO_BACKGROUND_MS": "0",
        "MAX_MCP_OUTPUT_TOKENS": "100000000",
        **({"CLAUDE_CODE_DISABLE_THINKING": "1"} if thinks_none else {}),
        **extra_body(environment, _choice(launch)),
        **(going_on if launch.continues else {}),
    }


def _choice(launch: Launch) -> dict[str, Any]:
    """What the API is asked for besides, where it is not what it does anyway."""
    choice = launch.tool_choice
    if choice == ToolChoice():
        return {}
    name = {} if choice.name is None else {"name": PREFIX + choice.name}
    alone = {} if choice.parallel or choice.type == "none" else {"disable_parallel_tool_use": True}
    return {"tool_choice": {"type": choice.type, **name, **alone}}


def answer(message: dict[str, Any], tools: tuple[ClientTool, ...]) -> dict[str, Any] | None:
    """What the server answers to a message of the protocol's beginning; None to any other."""
    match message.get("method"):
        case "initialize":
            params = message.get("params")
            version = params.get("protocolVersion") if isinstance(params, dict) else None
            return {
                "protocolVersion": version if isinstance(version, str) else "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": SERVER, "version": "1"},
            }
        case "tools/list":
            return {"tools": [_tool(tool) for tool in tools]}
        case str() as method if method.startswith("notifications/") or method == "ping":
            return {}
        case _:
            return None


def _tool(tool: ClientTool) -> dict[str, Any]:
    description, schema = tool.description, tool.input_schema
    if len(description) > MAX_DESCRIPTION_CHARACTERS:
        rest = description[MAX_DESCRIPTION_CHARACTERS:]
        description = f"{description[:MAX_DESCRIPTION_CHARACTERS]}\n{_GOES_ON}"
        schema = {**schema, "description": rest + str(schema.get("description", ""))}
    return {
        "name": tool.name,
        "description": description,
        "inputSchema": schema,
        "annotations": {"readOnlyHint": True},
        "_meta": {"anthropic/alwaysLoad": True, "anthropic/maxResultSizeChars": 100_000_000},
    }


def reply_line(request_id: str, message: dict[str, Any], result: dict[str, Any]) -> bytes:
    """The server's answer to a message, as the CLI reads it."""
    reply = {"jsonrpc": "2.0", "id": message.get("id"), "result": result}
    response = {
        "subtype": "success",
        "request_id": request_id,
        "response": {"mcp_response": reply},
    }
    line = {"type": "control_response", "response": response}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
