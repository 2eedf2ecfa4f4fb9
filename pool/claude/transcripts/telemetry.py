"""Claude Code's own telemetry: what it tells of each request to the API. Does no I/O.

Whoever points its OpenTelemetry log export at the pool (``OTEL_EXPORTER_OTLP_PROTOCOL=http/json``)
sends events, of which ``claude_code.api_request`` says what a request cost. Its ``request_id`` is
the one that stands in the transcript, if the API gave one; ``calls`` tells what both tell of once.
Everything else in the export is passed over.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pool.claude.output.tokens import nano
from pool.claude.transcripts.calls import PREFIX
from pool.usage.records import Call, ModelUsage, Usage, UsageRecord, UsageSource
from pool.values import Instant, Value

EVENT = "claude_code.api_request"
SUBSCRIPTION = "pool.subscription_id"
"""The resource attribute that says whose use it is."""
MAX_EVENTS = 2_000
"""Of one body; an exporter sends some hundred."""
MAX_COST_USD = 1_000.0
"""Of one request to the API, which costs some dollars at most: more is no cost, and would spend a
budget that nobody used."""
_MAX_TEXT = 100
_LARGEST = 1e15
_LAST_NANOSECOND = 9e18
"""Of the year 2255, which is all that 63 bits hold."""
_COUNTS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_creation_input_tokens": "cache_creation_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
}
Attributes = Mapping[str, Any]


class ApiRequest(Value):
    """One request to the API, as Claude Code tells of it."""

    subscription_id: str | None
    session_id: str
    request_id: str | None
    model: str
    usage: ModelUsage
    at: Instant


class Export(NamedTuple):
    """What a body held."""

    requests: tuple[ApiRequest, ...]
    rejected: int
    """Events of requests that cannot be counted."""


class Taken(Value):
    """What became of the requests of an export."""

    added: int = 0
    known: int = 0
    """Counted before, or the pool's own."""
    rejected: int = 0


def read_export(document: Any) -> Export:
    """The requests that an OTLP/JSON export of logs tells of."""
    requests: list[ApiRequest] = []
    rejected = 0
    for resource, record in _records(document):
        attributes = _attributes(record)
        if not _is_request(record, attributes):
            continue
        request = _request(resource, record, attributes) if len(requests) < MAX_EVENTS else None
        if request is None:
            rejected += 1
        else:
            requests.append(request)
    return Export(tuple(requests), rejected)


def outside_record(request: ApiRequest, subscription_id: str, now: datetime) -> UsageRecord:
    """The record of a request; without an id of its own it is known by everything else in it."""
    content = request.model_dump_json(exclude={"subscription_id"})
    name = request.request_id or hashlib.sha256(content.encode()).hexdigest()[:32]
    return UsageRecord(
        id=f"{PREFIX}{name}",
        subscription_id=subscription_id,
        timestamp=min(request.at, now),
        source=UsageSource.OUTSIDE,
        session_id=request.session_id,
        call=Call(request_ids=() if request.request_id is None else (request.request_id,)),
        usage=Usage(models={request.model: request.usage}),
    )


def _records(document: Any) -> Iterator[tuple[Attributes, Mapping[str, Any]]]:
    for group in _objects(document, "resourceLogs"):
        resource = group.get("resource")
        shared = _attributes(resource) if isinstance(resource, dict) else {}
        for scope in _objects(group, "scopeLogs"):
            for record in _objects(scope, "logRecords"):
                yield shared, record


def _objects(value: Any, name: str) -> Iterator[Mapping[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            yield each


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _plain(each.get("value"))
        for each in _objects(holder, "attributes")
        if isinstance(key := each.get("key"), str)
    }


def _plain(value: Any) -> Any:
    """Of ``{"intValue": "5"}`` the 5: the protocol writes whole numbers as text."""
    if not isinstance(value, dict):
        return None
    return next((value[kind] for kind in _KINDS if kind in value), None)


_KINDS = ("stringValue", "intValue", "doubleValue")


def _is_request(record: Mapping[str, Any], attributes: Attributes) -> bool:
    body = record.get("body")
    named = (record.get("eventName"), _plain(body), attributes.get("event.name"))
    return EVENT in named or "api_request" in named


def _request(
    resource: Attributes, record: Mapping[str, Any], attributes: Attributes
) -> ApiRequest | None:
    names = [_text(attributes.get(name)) for name in ("session.id", "request_id", "model")]
    session_id, request_id, model = names
    at = _instant(record)
    counts = {field: _count(attributes.get(name)) for field, name in _COUNTS.items()}
    cost = _number(attributes.get("cost_usd"), most=MAX_COST_USD)
    if not session_id or not model or at is None or cost is None:
        return None
    if any(count is None for count in counts.values()):
        return None
    return ApiRequest(
        subscription_id=_text(resource.get(SUBSCRIPTION)),
        session_id=session_id,
        request_id=request_id,
        model=model,
        usage=ModelUsage.model_validate({**counts, "cost_nano_usd": nano(cost)}),
        at=at,
    )


def _text(value: Any) -> str | None:
    is_name = isinstance(value, str) and value.isascii() and value.isprintable()
    return value if is_name and 0 < len(value) <= _MAX_TEXT else None


def _number(value: Any, most: float = _LARGEST) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 <= found <= most else None


def _count(value: Any) -> int | None:
    """A count; what is absent is none."""
    found = _number(0 if value is None else value)
    return None if found is None else int(found)


def _instant(record: Mapping[str, Any]) -> datetime | None:
    written = record.get("timeUnixNano") or record.get("observedTimeUnixNano")
    nanoseconds = _number(written, most=_LAST_NANOSECOND)
    if nanoseconds is None:
        return None
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
