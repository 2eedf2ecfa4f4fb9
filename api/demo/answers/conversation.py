"""A conversation that the stand-in is sent: who asks, what the user typed last, which answer is
expected.

The CLI puts its own notes into user messages as text blocks wrapped in `<system-reminder>`; they
are not the user's words and are passed over. A prompt that is itself wrapped whole in that tag can
therefore not be distinguished.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from api.demo.standin.bill import fingerprint

Json = dict[str, Any]
STRUCTURED_OUTPUT_TOOL = "StructuredOutput"  # how the CLI's --json-schema asks, seen in 2.1.330


@dataclass(frozen=True)
class Caller:
    """Who sent a request, without the secret: how the credential came and its fingerprint."""

    auth: Literal["bearer", "x-api-key", "none"]
    credential: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Caller:
        """Read the headers; as at Anthropic, an API key wins over a bearer token."""
        if key := headers.get("x-api-key"):
            return cls("x-api-key", fingerprint(key))
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return cls("bearer", fingerprint(token))
        return cls("none", "")


def user_texts(message: Json) -> tuple[str, ...]:
    """The text blocks of a message that the user wrote."""
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    texts = (str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    return tuple(text for text in texts if not _is_a_reminder(text))


def last_user_text(body: Json) -> str:
    """The user's newest words, verbatim; "" when there are none."""
    return next((words for words, _ in _turns_backwards(body) if words), "")


def tool_results_since(body: Json) -> int:
    """How many tool results came back after the user's newest words."""
    count = 0
    for words, results in _turns_backwards(body):
        if words:
            break
        count += results
    return count


def forced_tools(body: Json) -> list[Json]:
    """The tools of which one has to be called, where the choice is not the model's."""
    choice, tools = body.get("tool_choice") or {}, body.get("tools") or []
    match choice.get("type"):
        case "tool":
            return [tool for tool in tools if tool.get("name") == choice.get("name")]
        case "any":  # what loads later is not there to be called
            return [tool for tool in tools if not tool.get("defer_loading")]
        case _:
            return []


def tool_problem(body: Json) -> str | None:
    """What the API refuses about tools, in its words; None where nothing is wrong. (Some of its
    words are those of its documentation and of users' reports, since it could not be asked.)
    """
    choice, tools = body.get("tool_choice") or {}, body.get("tools") or []
    if choice and not tools:
        return "tool_choice: tool_choice may only be specified while providing tools"
    if choice.get("type") == "tool" and not forced_tools(body):
        return f"tool_choice: Tool '{choice.get('name')}' not found in provided tools"
    thinks = (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}
    if thinks and choice.get("type") in {"any", "tool"}:
        return "thinking: Thinking may not be enabled when tool_choice forces tool use"
    return _unanswered(body.get("messages") or [])


def _unanswered(messages: list[Json]) -> str | None:
    called = list[str]()
    for number, message in enumerate(messages):
        if message.get("role") not in {"user", "assistant"}:
            continue
        content = message.get("content")
        blocks = content if isinstance(content, list) else []
        results = [str(each.get("tool_use_id")) for each in blocks if _is(each, "tool_result")]
        if stray := [id_ for id_ in results if id_ not in called]:
            return (
                f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` "
                f"blocks: {stray[0]}. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message."
            )
        if missing := [id_ for id_ in called if id_ not in results]:
            return (
                f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(missing)}."
            )
        called = [str(each.get("id")) for each in blocks if _is(each, "tool_use")]
    return None


def _is(block: Json, kind: str) -> bool:
    return block.get("type") == kind


def structured_schema(body: Json) -> tuple[Literal["tool", "text"], Json] | None:
    """The JSON schema the answer must fit and the way to give it; None when any text will do."""
    for tool in body.get("tools") or []:
        if tool.get("name") == STRUCTURED_OUTPUT_TOOL:
            return "tool", tool.get("input_schema") or {}
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if wanted.get("type") == "json_schema":
        return "text", wanted.get("schema") or {}
    return None


def thinks(body: Json) -> bool:
    """Whether the model is to think before it answers."""
    return (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}


def refused_together(body: Json) -> str | None:
    """Why settings of the model are refused, as at Anthropic; None where they are not."""
    if thinks(body) and body.get("temperature") not in (None, 1):
        return "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode."
    return None


def _turns_backwards(body: Json) -> Iterator[tuple[str, int]]:
    for message in reversed(body.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content")
            blocks = content if isinstance(content, list) else []
            results = sum(block.get("type") == "tool_result" for block in blocks)
            yield "\n".join(user_texts(message)), results


def _is_a_reminder(text: str) -> bool:
    stripped = text.strip()
    return stripped.startswith("<system-reminder>") and stripped.endswith("</system-reminder>")
