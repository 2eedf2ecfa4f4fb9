"""What a single message of the CLI says, whatever came before it: the fields in it, a call of a
caller's tool, a question to their server, why an answer ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pool.executions.content.turn import ThinkingPart
from pool.executions.progress import ToolAnswered
from pool.executions.tools.client_tools import PREFIX, SERVER, ToolCall

SYNTHETIC = "<synthetic>"
"""The model of messages that the CLI makes up itself, errors mostly: nothing was billed."""
MAX_RESULT_CHARACTERS = 100_000
"""Of what a tool answered."""


def object_in(message: dict[str, Any], name: str) -> dict[str, Any]:
    """A field of a message that is one, or an empty one."""
    value = message.get(name)
    return value if isinstance(value, dict) else {}


def objects_in(content: Any) -> list[dict[str, Any]]:
    """The parts of a content; what is none is passed over."""
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def string_in(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    return value if isinstance(value, str) else ""


def index_in(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    return value if isinstance(value, int) else 0


def called_id(message: dict[str, Any]) -> str | None:
    """The id of the call of a caller's tool that the CLI wants the result of; None where a message
    asks for none.
    """
    asked = server_message(message)
    if asked is None or asked.get("method") != "tools/call":
        return None
    about = object_in(object_in(asked, "params"), "_meta")
    return string_in(about, "claudecode/toolUseId") or None


def server_message(message: dict[str, Any]) -> dict[str, Any] | None:
    """What the CLI says to the server of callers' tools; None where a message is none to it."""
    request = object_in(message, "request")
    is_for_it = message.get("type") == "control_request" and request.get("server_name") == SERVER
    return object_in(request, "message") if is_for_it else None


def call_in(block: dict[str, Any]) -> ToolCall | None:
    """The call of a caller's tool that a block of an answer is; None where it is something else."""
    name, id_ = string_in(block, "name"), string_in(block, "id")
    if block.get("type") != "tool_use" or not name.startswith(PREFIX) or not id_:
        return None
    return ToolCall(id=id_, name=name.removeprefix(PREFIX), input=object_in(block, "input"))


def stopped_by(message: dict[str, Any]) -> tuple[str, str | None]:
    """Why the API says that an answer of the main thread ended, and the stop sequence that it ended
    before; "" where a message says nothing of it.
    """
    event = object_in(message, "event")
    if message.get("parent_tool_use_id") is not None or event.get("type") != "message_delta":
        return "", None
    delta = object_in(event, "delta")
    return string_in(delta, "stop_reason"), string_in(delta, "stop_sequence") or None


def thoughts(message: dict[str, Any]) -> Iterator[ThinkingPart]:
    """What a message of the main thread shows of the model's thinking."""
    if message.get("type") == "assistant" and message.get("parent_tool_use_id") is None:
        for block in objects_in(object_in(message, "message").get("content")):
            if block.get("type") == "thinking" and (thought := string_in(block, "thinking")):
                yield ThinkingPart(thinking=thought, signature=string_in(block, "signature"))


def answers_in(message: dict[str, Any]) -> Iterator[ToolAnswered]:
    """What tools have answered, in a message to the model."""
    for block in objects_in(message.get("content")):
        if block.get("type") == "tool_result":
            yield ToolAnswered(
                tool_use_id=string_in(block, "tool_use_id"),
                text=_text_of(block.get("content"))[:MAX_RESULT_CHARACTERS],
                is_error=block.get("is_error") is True,
            )


def _text_of(content: Any) -> str:
    """A tool's answer as text; what is no text is named by its kind."""
    if isinstance(content, str):
        return content
    return "\n".join(
        string_in(part, "text") if part.get("type") == "text" else f"[{part.get('type')}]"
        for part in objects_in(content)
    )
