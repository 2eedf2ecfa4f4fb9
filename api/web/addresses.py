"""Addresses that clients try by default, and what is answered there.

SDKs put their own path behind the base URL that they are given, with or without ``/v1``; some ask
for parts of their API that this pool does not have. Whoever asks at such an address learns, in the
shape of the API it speaks, where to go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Dialect = Literal["messages", "chat", "models"]

_OFFERED: dict[str, Dialect] = {
    "/messages": "messages",
    "/chat/completions": "chat",
    "/responses": "chat",
    "/models": "models",
}
"""Below ``/v1``."""
_COUNT = "/messages/count_tokens"
_MISSING: dict[str, Dialect] = {
    _COUNT: "messages",
    "/messages/batches": "messages",
    "/complete": "messages",
    "/completions": "chat",
    "/embeddings": "chat",
    "/moderations": "chat",
    "/images/generations": "chat",
    "/audio/speech": "chat",
    "/audio/transcriptions": "chat",
}
OWN = frozenset(
    {
        "alerts",
        "backups",
        "capacity",
        "events",
        "executions",
        "keys",
        "nodes",
        "otlp",
        "pool",
        "reconciliations",
        "route",
        "sessions",
        "subscriptions",
        "usage",
    }
)
"""What the pool itself has below ``/v1``: there it answers in its own words, whoever asks."""
_ASK = {
    "messages": "ask POST /v1/messages",
    "chat": "ask POST /v1/chat/completions",
}
_NO_COUNT = (
    "this pool does not count tokens ahead: the CLI estimates a session of its own, part by part, "
    "and cannot count a request; the `usage` of an answer of POST /v1/messages is exact"
)
"""Seen of CLI 2.1.330: its `get_context_usage` asks Anthropic for each part by itself, the system
prompt as a user's turn, a dummy turn where there is none, so that two words came to 43 tokens.
"""
_KEPT = (
    "a response goes when its execution does: nobody removes one by itself, and pool.keep_prompts "
    "says for how long its texts are kept"
)
_NO_CANCEL = (
    "a response is never made in the background: hang up, or end its execution with POST "
    "/v1/executions/{id}/cancel"
)
_BELOW_A_RESPONSE = {
    "cancel": _NO_CANCEL,
    "input_items": "the pool keeps no input to show: it is in your hands",
}
_METHODS = {"messages": "POST", "chat": "POST", "models": "GET"}
_ENDS = {
    "messages": "with the port for Anthropic's SDK",
    "chat": "in /v1 for OpenAI's SDK",
    "models": "with the port for Anthropic's SDK, in /v1 for OpenAI's",
}
"""What the address of an SDK's own must look like for that."""
_BASE = re.compile(r"(/(api|openai|anthropic|v1))*(?=/)")
_RESPONSES = re.compile(r"/responses/[^/]+/(\w+)")
_SLASHES = re.compile(r"/+")


def dialect_of(path: str, headers: Mapping[str, str]) -> Dialect | None:
    """Whose shape the errors of an address have; None for the pool's own addresses. Where there is
    nothing below ``/v1``, it is that of the API which the headers are made for.
    """
    end = _end(path)
    known = {**_OFFERED, **_MISSING}
    told = next((known[each] for each in known if _is_below(end, each)), None)
    return told or (_spoken(headers) if _is_strange(path) else None)


def hint(path: str, headers: Mapping[str, str]) -> str | None:
    """Where to go from an address at which there is nothing."""
    end = _end(path)
    if end == _COUNT:
        return _NO_COUNT
    if (instead := _instead(end)) is not None:
        return f"this pool does not offer it: {instead}"
    for each, dialect in _OFFERED.items():
        if _is_below(end, each):
            return f"ask {_METHODS[dialect]} /v1{each}: {_remedy(path, each, dialect)}"
    if len(path) > 1 and path.endswith("/"):
        return "leave out the slash at the end of the address"
    if (spoken := dialect_of(path, headers)) is not None:
        return f"this pool does not offer it: {_ASK[spoken]}, or see /docs for all there is"
    return None


def _instead(end: str) -> str | None:
    """What to do where a part of an API is asked for that this pool does not have."""
    if (response := _RESPONSES.fullmatch(end)) is not None:
        return _BELOW_A_RESPONSE.get(response[1])
    return next((_ASK[_MISSING[each]] for each in _MISSING if _is_below(end, each)), None)


def method_hint(path: str, method: str) -> str | None:
    """Why an address does not take a method, where that is known."""
    if method == "DELETE" and _is_below(_end(path), "/responses"):
        return f"this pool does not offer it: {_KEPT}"
    return None


def _is_strange(path: str) -> bool:
    """Whether an address lies below ``/v1``, and not where the pool has anything of its own."""
    end = _end(path)
    _, name, *_ = f"{end}/".split("/")
    return "/v1/" in _plain(path).removesuffix(end) + "/" and name not in {"", *OWN}


def _spoken(headers: Mapping[str, str]) -> Dialect | None:
    """The dialect that a client speaks: Anthropic's SDKs name a version of their API, OpenAI's
    have no other way to show a key than this one.
    """
    if "anthropic-version" in headers:
        return "messages"
    return "chat" if headers.get("authorization", "").lower().startswith("bearer ") else None


def _remedy(path: str, address: str, dialect: Dialect) -> str:
    """What to change in an address that is meant for one that is offered."""
    plain = _plain(path)
    if plain == f"/v1{address}":
        return "leave out the slash that is too many"
    if _is_below(plain, f"/v1{address}"):
        return "there is nothing below it"
    return f"the base URL ends {_ENDS[dialect]}"


def _plain(path: str) -> str:
    """A path without slashes at its end, and with one where several stand."""
    return _SLASHES.sub("/", path).rstrip("/")


def _end(path: str) -> str:
    """A path without what stands before the API's own."""
    path = _plain(path)
    base = _BASE.match(path)
    return path[base.end() :] if base else path


def _is_below(path: str, address: str) -> bool:
    return path == address or path.startswith(f"{address}/")
