"""A request for an execution: one prompt, its bounds and its options."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, model_validator

from pool.executions.content.image import Image
from pool.executions.content.turn import BYTES_PER_TOKEN, TOKENS_PER_IMAGE, Conversation, tokens_of
from pool.executions.content.verbatim import bounded, verbatim
from pool.executions.model_settings import AS_IT_COMES, ModelSettings
from pool.executions.schemas.answer_schema import check
from pool.executions.tools.client_tools import SERVER, ClientTools, ToolChoice, tools_bytes
from pool.executions.tools.permissions import MOST_GRANTED, AgentSettings
from pool.executions.tools.tool import Tool
from pool.foreign_text import fit
from pool.usage.model_names import ModelId
from pool.values import Value, is_kept

MAX_PROMPT_BYTES = 1_000_000


MAX_JSON_SCHEMA_BYTES = 50_000


MAX_METADATA = 16


MAX_IMAGES = 20


MAX_WRITTEN_BYTES = 9_500_000
"""Of prompts and images together, as JSON and base64: the CLI refuses an input above 10 MB."""


MAX_TIMEOUT_SECONDS = 24 * 3600


def _prompt(text: str, info: ValidationInfo) -> str:
    if is_kept(info):  # it may have been emptied since
        return bounded(verbatim(text), MAX_PROMPT_BYTES)
    if text and info.data.get("messages"):
        raise ValueError("goes without messages: the last of them says what the model should do")
    if not text.strip() and not info.data.get("messages"):
        raise ValueError("is empty: write what the model should do")
    return bounded(verbatim(text), MAX_PROMPT_BYTES)


def _system_prompt(text: str) -> str:
    return bounded(verbatim(text), MAX_PROMPT_BYTES)


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("is no UUID, such as 634fbb1e-4256-459f-9794-14ea9ca8dac8") from None


def _json_schema(schema: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not is_kept(info):
        bounded(json.dumps(schema), MAX_JSON_SCHEMA_BYTES)
        check(schema)
    fitting: dict[str, Any] = fit(schema)
    return fitting


SessionId = Annotated[str, AfterValidator(_uuid)]


SubscriptionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


MetadataName = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(verbatim)
]


MetadataText = Annotated[str, StringConstraints(max_length=500), AfterValidator(verbatim)]


class ExecutionRequest(Value):
    """What to run. Unknown fields are refused; the last three say how the answer is waited for."""

    messages: Conversation = ()
    """A conversation in the place of ``prompt`` and ``images``: turns with parts, as in Anthropic's
    API. The last is the user's; those before it reach the model as what was said."""
    prompt: Annotated[str, AfterValidator(_prompt), Field(validate_default=True)] = ""
    """Delivered to the model verbatim; at most 1 MB of UTF-8."""
    session_id: SessionId | None = None
    """The session to go on with; without it a new one begins."""
    subscription_id: SubscriptionId | None = None
    """Run there or nowhere; without it the healthiest is taken."""
    model: ModelId | None = None
    system_prompt: Annotated[str, AfterValidator(_system_prompt)] | None = None
    max_turns: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_budget_usd: Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=9)] | None = None
    """Ends the run after the call of the model that goes beyond it, whose answer is lost; holds at
    least so much of the budgets meanwhile, and never less than such requests have cost."""
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] | None = None
    json_schema: Annotated[dict[str, Any], AfterValidator(_json_schema)] | None = None
    images: Annotated[tuple[Image, ...], Field(max_length=MAX_IMAGES, fail_fast=True)] = ()
    """Shown to the model before the prompt."""
    model_settings: ModelSettings = AS_IT_COMES
    """How long, how free and how thoughtful the answer is."""
    fork_session: bool = False
    """Go on from ``session_id`` in a new session; the old one stays as it is."""
    session_busy: Literal["wait", "refuse"] = "wait"
    """What to do while another turn of the session runs: wait for its end, or answer 409."""
    queue_timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] | None = None
    """How long it may wait for a slot; without it as long as the pool's configuration says."""
    tools: Annotated[tuple[Tool, ...], Field(max_length=MOST_GRANTED, fail_fast=True)] = ()
    """Tools of the CLI that the run may use, of those that the caller's key grants."""
    client_tools: ClientTools = ()
    """Tools that the caller runs: the execution waits for it when the model calls some."""
    tool_choice: ToolChoice = ToolChoice()
    """Whether the model calls them."""
    agent: AgentSettings = AgentSettings()
    """What else it may use of the machine it runs on, as far as the key grants it."""
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=MAX_METADATA)] = Field(
        default_factory=dict
    )
    background: bool = False
    stream: bool = False
    cancel_on_disconnect: bool = False
    """End the run when the caller that waits for it hangs up; else it goes on."""

    @property
    def prompt_bytes(self) -> int:
        """The size of all that goes into the model's context with it, as it was sent."""
        turns = sum(len(turn.model_dump_json()) for turn in self.messages)
        return self._text_bytes + turns + sum(len(image.data) for image in self.images)

    @property
    def input_tokens(self) -> int:
        """About how many tokens it adds to the model's context, rather too many."""
        schema = "" if self.json_schema is None else json.dumps(self.json_schema)
        texts = -(-(self._text_bytes + len(schema)) // BYTES_PER_TOKEN)
        turns = sum(map(tokens_of, self.messages))
        return texts + turns + TOKENS_PER_IMAGE * len(self.images)

    @property
    def uses_tools(self) -> bool:
        """Whether its run may call the model many times, for it can act in between."""
        agent = self.agent
        of_its_own = agent.mcp_servers is not None or agent.sub_agents is not None
        return bool(self.tools) or bool(self.client_tools) or of_its_own

    @property
    def stops_at_max_tokens(self) -> bool:
        """Whether its answer is over where the model is cut off at its longest. Where a schema is
        asked for, the CLI has the model try again: half of a structure is none.
        """
        return self.model_settings.max_tokens is not None and self.json_schema is None

    @property
    def _text_bytes(self) -> int:
        texts = (self.prompt, self.system_prompt or "", self.agent.append_system_prompt or "")
        return sum(len(text.encode()) for text in texts) + tools_bytes(self.client_tools)

    def without_content(self) -> ExecutionRequest:
        """The request without what the model got: text, images, schema, and settings that may
        hold either. Its metadata stay: they are there to tell executions apart.
        """
        nothing: dict[str, object] = {"prompt": "", "messages": (), "images": ()}
        nothing |= {"system_prompt": None, "json_schema": None}
        no_tools = {"client_tools": (), "tool_choice": ToolChoice()}
        settings = {"agent": AgentSettings(), "model_settings": AS_IT_COMES}
        return self.model_copy(update={**nothing, **no_tools, **settings})

    @model_validator(mode="after")
    def _fits_together(self) -> ExecutionRequest:
        if self.fork_session and self.session_id is None:
            raise ValueError("fork_session needs the session_id of the session to go on from")
        texts = (self.prompt, self.system_prompt or "", self.agent.append_system_prompt or "")
        written = sum(len(json.dumps(text)) for text in texts)
        written += sum(len(image.data) for image in self.images)
        written += sum(len(turn.model_dump_json()) for turn in self.messages)
        if written > MAX_WRITTEN_BYTES:
            raise ValueError(
                f"prompts and images together come to {written} bytes as they are written for the "
                f"CLI; the limit is {MAX_WRITTEN_BYTES}"
            )
        if self.messages and self.images:
            raise ValueError("images go without messages: show them in one")
        if self.session_id is not None and len(self.messages) > 1:
            raise ValueError(
                "a session remembers by itself: send but the last of the messages with session_id"
            )
        return self

    @model_validator(mode="after")
    def _client_tools_fit(self) -> ExecutionRequest:
        names = {tool.name for tool in self.client_tools}
        if self.tool_choice != ToolChoice() and not names:
            raise ValueError("tool_choice is about client_tools: send some, or leave it out")
        if self.tool_choice.name is not None and self.tool_choice.name not in names:
            named = f"tool_choice names {self.tool_choice.name!r}"
            raise ValueError(f"{named}, which is none of the client_tools")
        if names and SERVER in (self.agent.mcp_servers or {}):
            raise ValueError(
                f"agent.mcp_servers names a server {SERVER!r}, which is the client_tools' own: "
                "rename it"
            )
        return self


_HOW_IT_IS_WAITED_FOR = {"background", "stream", "cancel_on_disconnect"}
_ADDED_SINCE: dict[str, object] = {
    "messages": (),
    "client_tools": (),
    "tool_choice": ToolChoice(),
    "model_settings": AS_IT_COMES,
}
"""Fields that a digest of earlier releases did not have, by what asks for nothing."""


def request_digest(request: ExecutionRequest) -> str:
    """SHA-256 of what is asked for, however it is waited for; the same in every release."""
    unused = {name for name, value in _ADDED_SINCE.items() if getattr(request, name) == value}
    body = request.model_dump_json(exclude=_HOW_IT_IS_WAITED_FOR | unused)
    return hashlib.sha256(body.encode()).hexdigest()
