"""Callers' own tools: tools that the model may call and the caller runs.

A request brings them with their schemas. When the model calls some, its execution waits for its
caller, who sees the calls and sends a result for each; then it goes on. They need no grant, for
they touch nothing of the pool's machine. The CLI is shown them as tools of a server of its own, so
that none can have, or pass for, the name of a tool of the CLI's.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    model_validator,
)

from pool.executions.content.image import Image
from pool.foreign_text import fit
from pool.usage.records import UsageReport
from pool.values import Instant, Value, is_kept

SERVER = "caller"
"""The MCP server that the CLI is shown as the one that has them."""
PREFIX = f"mcp__{SERVER}__"
"""Before their names, as the model and the CLI know them."""
MAX_CLIENT_TOOLS = 128
MAX_NAME_CHARACTERS = 128 - len(PREFIX)
"""The API takes 128 for the name that the model knows a tool by."""
MAX_CLIENT_TOOLS_BYTES = 500_000
"""Of all tools of a request together, as JSON."""
MAX_RESULT_PARTS = 100
MAX_RESULTS_BYTES = 9_000_000
"""Of a round's results together, as JSON and base64: the CLI refuses an input above 10 MB."""
_ALTERNATIVES = ("oneOf", "allOf", "anyOf")

ToolName = Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_NAME_CHARACTERS}}}$")]
ToolCallId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]
"""The provider's id of a call, such as ``toolu_01A09q90qw90lq917835lq9``."""


def _text(text: str) -> str:
    fitting: str = fit(text)
    return fitting


def _input_schema(schema: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if is_kept(info):
        return schema
    if schema.get("type", "object") != "object":
        raise ValueError("should have the type object: a tool's input is an object")
    if named := next((each for each in _ALTERNATIVES if each in schema), None):
        raise ValueError(f"has {named} at its root, which the API does not take: use properties")
    fitting: dict[str, Any] = fit({**schema, "type": "object"})
    return fitting


def _strict(strict: bool, info: ValidationInfo) -> bool:
    schema = info.data.get("input_schema")
    if strict and schema is not None and not is_kept(info):
        # It takes 60 ms to import, and only strict tools need it.
        from pool.executions.schemas.conformity import problem_of  # noqa: PLC0415

        if (problem := problem_of(schema)) is not None:
            raise ValueError(f"cannot be: the input_schema {problem}")
    return strict


class ClientTool(Value):
    """A tool that the caller runs."""

    name: ToolName
    """As the caller knows it; calls of it bear this name."""
    description: Annotated[str, AfterValidator(_text)] = ""
    input_schema: Annotated[dict[str, Any], AfterValidator(_input_schema)] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    """JSON schema of its input, an object. The model goes by it; only ``strict`` holds it to that.
    """
    strict: Annotated[bool, AfterValidator(_strict)] = False
    """Its calls conform to the schema, but for patterns and formats: others are not shown, and the
    model makes them anew. What it calls is streamed once it is whole."""

    @classmethod
    def of(cls, function: Callable[..., Any], name: str | None = None) -> ClientTool:
        """The tool that a function is: its name, its docstring, and the schema of its arguments."""
        return cls(
            name=name or function.__name__,
            description=inspect.getdoc(function) or "",
            input_schema=TypeAdapter[Any](cast("Any", function)).json_schema(),
        )


def _tools(tools: tuple[ClientTool, ...], info: ValidationInfo) -> tuple[ClientTool, ...]:
    if is_kept(info):
        return tools
    seen = set[str]()
    for tool in tools:
        if tool.name in seen:
            raise ValueError(f"holds two tools of the name {tool.name!r}: name them apart")
        seen.add(tool.name)
    size = tools_bytes(tools)
    if size > MAX_CLIENT_TOOLS_BYTES:
        raise ValueError(f"come to {size} bytes; the limit is {MAX_CLIENT_TOOLS_BYTES}")
    return tools


ClientTools = Annotated[
    tuple[ClientTool, ...],
    Field(max_length=MAX_CLIENT_TOOLS, fail_fast=True),
    AfterValidator(_tools),
]


def tools_bytes(tools: Iterable[ClientTool]) -> int:
    """About how much of the model's context they fill, as JSON."""
    return sum(len(json.dumps(tool.model_dump(mode="json"))) for tool in tools)


class ToolChoice(Value):
    """Whether the model calls the caller's tools. A choice of ``any`` or ``tool`` holds for its
    first answer: after results it is free to answer.
    """

    type: Literal["auto", "any", "tool", "none"] = "auto"
    """It decides; calls at least one; calls that of ``name``; calls none."""
    name: ToolName | None = None
    parallel: bool = True
    """Whether it may call several at once; otherwise one a round."""

    @property
    def is_forced(self) -> bool:
        return self.type in {"any", "tool"}

    @model_validator(mode="after")
    def _has_its_name(self) -> ToolChoice:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError('a name belongs to the type "tool", and to no other')
        return self


class ToolCall(Value):
    """A call of a caller's tool that the model has made."""

    id: str
    """The provider's."""
    name: str
    """As the caller named the tool."""
    input: dict[str, Any]


class TextPart(Value):
    """A text that a tool gave."""

    type: Literal["text"] = "text"
    text: Annotated[str, AfterValidator(_text)]


class ImagePart(Image):
    """An image that a tool gave."""

    type: Literal["image"] = "image"


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _parts(content: Any) -> Any:
    return ({"type": "text", "text": content},) if isinstance(content, str) else content


class ToolResult(Value):
    """What the caller's tool gave for one call."""

    tool_use_id: ToolCallId
    """The ``id`` of its call."""
    content: Annotated[
        tuple[Part, ...],
        Field(max_length=MAX_RESULT_PARTS, fail_fast=True),
        BeforeValidator(_parts, json_schema_input_type=tuple[Part, ...] | str),
    ] = ()
    """A text, or texts and images in their order."""
    is_error: bool = False
    """The tool failed, and the content says why; the model learns it."""


def _results(results: tuple[ToolResult, ...], info: ValidationInfo) -> tuple[ToolResult, ...]:
    if is_kept(info):
        return results
    seen = set[str]()
    for each in results:
        if each.tool_use_id in seen:
            raise ValueError(f"holds two results of {each.tool_use_id!r}: send one for each call")
        seen.add(each.tool_use_id)
    size = len(_RESULTS.dump_json(results))
    if size > MAX_RESULTS_BYTES:
        raise ValueError(f"come to {size} bytes together; the limit is {MAX_RESULTS_BYTES}")
    return results


_RESULTS = TypeAdapter(tuple[ToolResult, ...])
ToolResults = Annotated[
    tuple[ToolResult, ...],
    Field(min_length=1, max_length=1000, fail_fast=True),
    AfterValidator(_results),
]


class ToolResultsRequest(Value):
    """The results of a round's calls, all of them at once."""

    results: ToolResults
    background: bool = False
    """Answer as soon as they are durable; else once the execution waits again or has ended."""
    stream: bool = False
    """Answer with the events that follow, until it waits again or has ended."""


def results_digest(results: Iterable[ToolResult]) -> str:
    """SHA-256 of results, in whatever order they came: the same results are the same answer."""
    ordered = tuple(sorted(results, key=lambda each: each.tool_use_id))
    return hashlib.sha256(_RESULTS.dump_json(ordered)).hexdigest()


class ToolSettings(Value):
    """``[tools]`` of the configuration: how long, and how many, executions wait for their callers.

    Where too many wait, the one ends that has waited longest. Whatever has ended so goes on all the
    same when the results come: it costs a process of its own then.
    """

    wait_seconds: Annotated[float, Field(gt=0, le=24 * 3600)] = 600
    max_waiting: Annotated[int, Field(ge=1, le=10_000)] = 20
    """On one subscription. Each keeps a process, of some 200 MB."""
    max_waiting_per_key: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Of one key's, on one subscription."""


class Round(Value):
    """One answer of the model to its caller: up to calls that the caller runs, or up to the end."""

    number: int
    """From 0."""
    text: str = ""
    """What it said."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of callers' tools, which ended the round; none in the last one, as a rule."""
    stop_reason: str | None = None
    """``tool_use`` where it ended in calls; else as ``Execution.stop_reason``."""
    usage: UsageReport
    """Of this round alone. Those of all rounds sum up to the execution's, to the nano-dollar."""
    cursor: str
    """The event after which the next round begins."""
    ended_at: Instant
