"""Field support: what becomes of each field of a request in either dialect; the one table, read by
the code that answers and by the tests of README.md.

Honoured: it does what its API says. Refused: the answer would have another shape or meaning than
was asked for, or somebody may rely on it; so the request is answered with an error that names the
field. Ignored: the answer is still one to what was asked, and the ``X-Pool-Ignored`` header names
the field; so it is with a field that no row knows. A value that asks for nothing (``n: 1``,
``tools: []``, any ``null``) is neither refused nor named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from api.web.problems.dialect_errors import Unsupported

MAX_NAMED = 20
MAX_NAME = 64
_UNPRINTABLE = re.compile(r"[^A-Za-z0-9_.:\[\] -]")


class FieldSupport(StrEnum):
    HONOURED = "honoured"
    REFUSED = "refused"
    IGNORED = "ignored"


class Row(NamedTuple):
    """A field by its name, what becomes of it, and what there is to know."""

    name: str
    support: FieldSupport
    note: str
    idle: tuple[Any, ...] = ()
    """Values that ask for nothing."""


def _honoured(name: str, note: str) -> Row:
    return Row(name, FieldSupport.HONOURED, note)


def _refused(name: str, note: str, *idle: Any) -> Row:
    return Row(name, FieldSupport.REFUSED, note, idle)


def _ignored(name: str, note: str, *idle: Any) -> Row:
    return Row(name, FieldSupport.IGNORED, note, idle)


_NO_SETTING = "Anthropic's API has no setting for it"
_SAMPLING = "the model does not think beside it, unless asked to; 1 asks for nothing"
_TOKENS = (
    "the answer ends there; the CLI has the model go on, up to three times within the same bound, "
    "unseen, and that is billed; the model does not think beside it, unless asked to"
)
_EFFORT = "`low`, `medium`, `high`, `xhigh` or `max`"
_CACHE = "the CLI caches by rules of its own; what it cached is in `usage`"
_CACHED = (
    "the CLI marks the system prompt and the last turn by itself; what it cached is in `usage`"
)
_SESSION = (
    "extension, also as header `X-Session-Id`: go on in that session; of `messages` only what "
    "follows the last answer is sent, the rest is named as ignored"
)
_STOPS = (
    "at the model; where one is but space, which the API does not take, the answer is cut there by "
    "the pool: the model goes on unseen, and that is billed"
)
_STREAM = "server-sent events, with heartbeats"
_TOOLS = (
    "tools of the caller's, with a schema, which the model goes by; a call of a `strict` one that "
    "does not fit it, patterns and formats apart, is not shown, and made anew by the model; a tool "
    "that the provider would run, or whose schema it knows by the type, is refused"
)
_SERVERS_TOOLS = "it is the provider that would run it: leave it out, or send a tool of your own"
_MODEL = (
    "one of `GET /v1/models`, a dated release of one, or what `claude.models` allows beyond them; "
    "a provider before it (`anthropic/`) is taken off; any other is a 404 with the nearest names"
)

MESSAGES = (
    _honoured("model", _MODEL),
    _honoured(
        "messages",
        "turns reach the model as turns, see below; the last one must be of the user",
    ),
    _honoured("system", "text or text blocks, joined with those of role `system` in `messages`"),
    _honoured("tools", _TOOLS),
    _honoured("tool_choice", "`disable_parallel_tool_use` too"),
    _ignored("tools.cache_control", _CACHE),
    _ignored(
        "context_management", "the CLI behind the pool clears its context by rules of its own"
    ),
    _honoured("stream", _STREAM),
    _honoured("stop_sequences", _STOPS),
    _honoured(
        "output_config",
        "`format` of type `json_schema`: the answer's text is JSON of that schema, of any kind at "
        "its root; a schema that the API cannot take is a 400 with the place in it; `effort`: "
        f"{_EFFORT}",
    ),
    _honoured("output_format", "the older name of `output_config.format`"),
    _honoured("metadata", "`user_id` is kept in the execution's metadata"),
    _honoured("session_id", _SESSION),
    _honoured("max_tokens", _TOKENS),
    _honoured("temperature", _SAMPLING),
    _honoured("top_p", _SAMPLING),
    _honoured("top_k", "the model does not think beside it, unless asked to"),
    _honoured(
        "thinking",
        "what the model thinks is shown, streamed too, unless `display` is `omitted`; models that "
        "decide by themselves pass `budget_tokens` over",
    ),
    _honoured("cache_control", _CACHED),
    _honoured("messages.content.cache_control", _CACHED),
    _ignored("service_tier", "the subscription decides", "auto"),
    _ignored("speed", "the subscription decides", "standard"),
    _ignored("diagnostics", "not offered"),
    _ignored("user_profile_id", "it is passed on to nobody"),
    _ignored("workspace_id", "the pool has none"),
    _ignored("anthropic-beta", "a header: nothing here is a beta of Anthropic's"),
    _refused("mcp_servers", _SERVERS_TOOLS, []),
    _refused("container", "not offered: leave it out"),
    _refused("inference_geo", "the subscription decides, and the pool cannot promise a place"),
)

_PARTS = (
    _honoured("text", "verbatim; so is a bare text in the list of parts"),
    _honoured("input_text", "as `text`"),
    _honoured("output_text", "as `text`"),
    _honoured("refusal", "in answers: sent as their text"),
    _honoured(
        "image",
        "`source` of base64: JPEG, PNG, GIF or WebP by its bytes, whatever its label says; by URL "
        "or file id it is refused: the pool fetches nothing",
    ),
    _honoured(
        "image_url",
        "such an image as a `data:` URL of base64, in `url` or bare; by any other URL it is "
        "refused; `detail` is ignored",
    ),
    _honoured("input_image", "as `image_url`"),
    _honoured("tool_use", "a call that was made before"),
    _honoured(
        "tool_result",
        "of texts and images. At the end: the run that made the call goes on with it, and what is "
        "said behind it is sent with it",
    ),
    _honoured(
        "document",
        "`source` of base64, a PDF by its bytes, or of `text`, with `title` and `context`; by URL "
        "or file id it is refused: the pool fetches nothing, and keeps no files",
    ),
    _honoured(
        "file",
        "`file_data`, a `data:` URL of a PDF or a text, and `filename`; by `file_id` it is refused",
    ),
    _honoured("input_file", "as `file`; by `file_url` it is refused"),
)
"""What both dialects take, in whichever words it is said."""

MESSAGE_BLOCKS = (
    *_PARTS,
    _ignored("thinking", "what the model thought is not sent again"),
    _ignored("redacted_thinking", "what the model thought is not sent again"),
    _refused("search_result", "not offered: send its text"),
    _refused("container_upload", "not offered: leave it out"),
)

CHAT = (
    _honoured("model", _MODEL),
    _honoured(
        "messages",
        "turns reach the model as turns, see below; the last one must be of the user; "
        "`system` and `developer` messages are joined, wherever they stand",
    ),
    _honoured("tools", _TOOLS),
    _honoured("tool_choice", "`auto`, `none`, `required` or one by its name"),
    _honoured("parallel_tool_calls", "`false`: one call at a time"),
    _honoured("stream", _STREAM),
    _honoured("stream_options", "`include_usage`: a last chunk with the usage"),
    _honoured("stop", _STOPS),
    _honoured(
        "response_format",
        "`json_schema`: the answer's text is JSON of that schema, of any kind at its root; a "
        "schema that the API cannot take is a 400 with the place in it; `json_object`: of any "
        "object",
    ),
    _honoured("metadata", "kept in the execution's metadata"),
    _honoured("user", "kept in the execution's metadata as `user`"),
    _honoured("session_id", _SESSION),
    _honoured("max_tokens", "as `max_completion_tokens`, which comes before it"),
    _honoured("max_completion_tokens", _TOKENS),
    _honoured("temperature", f"Anthropic's API takes 0 to 1; {_SAMPLING}"),
    _honoured("top_p", _SAMPLING),
    _honoured(
        "reasoning_effort",
        f"{_EFFORT}; `minimal` is `low`, and with `none` the model does not think",
    ),
    _ignored("presence_penalty", _NO_SETTING, 0),
    _ignored("frequency_penalty", _NO_SETTING, 0),
    _ignored("seed", _NO_SETTING),
    _ignored("verbosity", _NO_SETTING),
    _ignored("prediction", "it would only hasten the answer"),
    _ignored("prompt_cache_key", _CACHE),
    _ignored("prompt_cache_options", _CACHE),
    _ignored("prompt_cache_retention", _CACHE),
    _ignored("safety_identifier", "it is passed on to nobody"),
    _ignored("service_tier", "the subscription decides", "auto", "default"),
    _ignored("store", "kept as an execution all the same, under `/v1/executions`", False),
    _ignored("stream_options.include_obfuscation", "there is none", False),
    _ignored("messages.name", "the two sides of a conversation have no names"),
    _ignored("messages.annotations", "sent without them", []),
    _refused("messages.function_call", "send `tool_calls`, which have ids"),
    _refused("messages.audio", "the models read text and images"),
    _refused("n", "the pool gives one answer to a request: ask several times", 1),
    _refused("logprobs", "the CLI does not report them", False),
    _refused("top_logprobs", "the CLI does not report them", 0),
    _refused("logit_bias", "the CLI has no setting for it", {}),
    _refused("functions", "send `tools`", []),
    _refused("function_call", "send `tool_choice`", "auto", "none"),
    _refused("audio", "the models write text"),
    _refused("modalities", "the models write text", ["text"], []),
    _refused("moderation", "not offered: leave it out"),
    _refused("web_search_options", _SERVERS_TOOLS),
)

CHAT_PARTS = (
    *_PARTS,
    _refused("input_audio", "the models read text and images"),
)


def _is_idle(value: Any, row: Row | None) -> bool:
    if value is None:
        return True
    # 1 == True in Python; in JSON they are two things.
    return row is not None and any(
        value == each and isinstance(value, bool) == isinstance(each, bool) for each in row.idle
    )


def ignored(sent: Mapping[str, Any], rows: Iterable[Row], inside: str = "") -> tuple[str, ...]:
    """The names of the fields that are ignored. ``Unsupported`` for the first that is refused. One
    that is honoured by doing nothing about it is not named.
    """
    known = {row.name: row for row in rows}
    names = []
    for name, value in sent.items():
        path = f"{inside}.{name}" if inside else name
        row = known.get(path)
        if _is_idle(value, row):
            continue
        if row is not None and row.support is FieldSupport.REFUSED:
            raise Unsupported(path, row.note)
        if row is None or row.support is FieldSupport.IGNORED:
            names.append(path)
    return tuple(names)


def pass_over(kind: str, rows: Iterable[Row], where: str) -> None:
    """Return where parts of a message of this kind are ignored; else ``Unsupported``.

    A kind that no row knows is refused: it may be half of what was said.
    """
    row = next((row for row in rows if row.name == kind), None)
    if row is None:
        raise Unsupported(where, "is of a kind that this pool does not know: leave it out")
    if row.support is not FieldSupport.IGNORED:
        raise Unsupported(where, f"{row.name}: {row.note}")


def headers(names: Iterable[str]) -> dict[str, str]:
    """The headers that name what was ignored; none where nothing was."""
    named = list(dict.fromkeys(_printable(name) for name in names))
    if not named:
        return {}
    more = [] if len(named) <= MAX_NAMED else [f"and {len(named) - MAX_NAMED} more"]
    listed = ", ".join([*named[:MAX_NAMED], *more])
    return {"X-Pool-Ignored": listed, "Warning": f'299 claude-pool "ignored: {listed}"'}


def _printable(name: str) -> str:
    # A header takes no line break, and a name that nobody knows may hold anything.
    plain = _UNPRINTABLE.sub("?", name)
    return plain if len(plain) <= MAX_NAME else plain[:MAX_NAME] + "..."


def table(rows: Iterable[Row]) -> str:
    """Rows as they stand in README.md."""
    lines = [f"| `{row.name}` | {row.support} | {row.note} |" for row in rows]
    return "\n".join(("| field | | |", "|---|---|---|", *lines))
