"""A stand-in for the Admin API, whose figures derive from the bill of the one for the Messages API.

So where the pool and these reports agree, they agree about what was really asked and answered.
``extra`` and ``lose`` seed discrepancies (use that the bill has not, and lines that no report has),
and ``next`` lets answers fail in every way that was thought of. Requests are noted with their time,
so that a test sees how often anybody polled.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from api.demo.answers.problems import Problem
from api.demo.standin.bill import Bill, Line, Usage, cost_nano_usd, fingerprint

ADMIN_KEY = "sk-ant-admin01-test"
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_NANO_PER_CENT = 10_000_000

Harm = Literal[
    "cut", "no_next", "same_page", "reversed", "gap", "twice", "bad_amount", "bad_count", "skewed"
]


@dataclass(frozen=True)
class Fault:
    """One answer that is not as it should be: an error, or a page that came to harm."""

    status: int = 200
    retry_after: str | None = None
    harm: Harm | None = None


@dataclass(frozen=True)
class AdminRequest:
    """A request as it came, without its key."""

    at: datetime
    path: str
    page: str | None
    params: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Holder:
    api_key_id: str
    workspace_id: str | None = None
    email: str | None = None


@dataclass
class AdminStandin:
    """The reports of one organization. Credentials are API keys unless ``person`` says it."""

    bill: Bill
    clock: Callable[[], datetime]
    admin_key: str = ADMIN_KEY
    page_size: int | None = None
    """Items a page at most, whatever is asked for."""
    asked: list[AdminRequest] = field(default_factory=list)
    _holders: dict[str, _Holder] = field(default_factory=dict)
    _extra: list[Line] = field(default_factory=list)
    _lost: set[str] = field(default_factory=set)
    _faults: deque[Fault] = field(default_factory=deque)

    def api_key(self, token: str, id_: str, workspace_id: str | None = None) -> None:
        """Let a credential be an API key of this id, in a workspace."""
        self._holders[fingerprint(token)] = _Holder(id_, workspace_id)

    def person(self, token: str, email: str) -> None:
        """Let a credential be somebody's account: it is in the Claude Code report alone."""
        self._holders[fingerprint(token)] = _Holder("", email=email)

    def extra(self, token: str, model: str, usage: Usage, at: datetime) -> None:
        """Report use that nobody was billed for here: it came from elsewhere."""
        self._extra.append(
            Line(
                credential=fingerprint(token),
                account="elsewhere",
                model=model,
                usage=usage,
                cost_nano_usd=cost_nano_usd(model, usage),
                message_id=f"msg_extra_{len(self._extra)}",
                request_id=f"req_extra_{len(self._extra)}",
                outcome="completed",
                billed_at=at,
            )
        )

    def lose(self, message_id: str) -> None:
        """Leave a line of the bill out of every report."""
        self._lost.add(message_id)

    def next(self, *faults: Fault) -> None:
        """Let the next answers be these, one each, in order."""
        self._faults.extend(faults)

    def fault(self) -> Fault:
        return self._faults.popleft() if self._faults else Fault()

    def holder(self, line: Line) -> _Holder:
        return self._holders.get(line.credential, _Holder(f"apikey_{line.credential}"))

    def lines(self, since: datetime, until: datetime) -> tuple[Line, ...]:
        """What the reports are made of."""
        everything = (*self.bill.lines(), *self._extra)
        return tuple(
            line
            for line in everything
            if since <= line.billed_at < until and line.message_id not in self._lost
        )


def create_admin_api(mind: AdminStandin) -> FastAPI:
    """The stand-in as an ASGI app."""
    app = FastAPI(title="Stand-in for the Admin API", openapi_url=None)

    @app.get("/v1/organizations/usage_report/messages")
    async def usage(request: Request) -> Response:
        return _answered(mind, request, _usage)

    @app.get("/v1/organizations/cost_report")
    async def cost(request: Request) -> Response:
        return _answered(mind, request, _cost)

    @app.get("/v1/organizations/usage_report/claude_code")
    async def claude_code(request: Request) -> Response:
        return _answered(mind, request, _claude_code)

    return app


def _answered(
    mind: AdminStandin, request: Request, report: Callable[[AdminStandin, Request], list[Any]]
) -> Response:
    query = request.query_params
    page = query.get("page")
    mind.asked.append(
        AdminRequest(mind.clock(), request.url.path, page, tuple(query.multi_items()))
    )
    if request.headers.get("x-api-key") != mind.admin_key:
        return _error(Problem(401))
    fault = mind.fault()
    if fault.status != 200:
        return _error(Problem(fault.status), fault.retry_after)
    items = report(mind, request)
    size = min(int(query["limit"]), mind.page_size or 10_000)
    start = int(page.removeprefix("page_")) if page else 0
    more = start + size < len(items)
    body = {
        "data": _harmed(items[start : start + size], fault.harm),
        "has_more": more,
        "next_page": f"page_{start + size}" if more else None,
    }
    return _sent(mind, body, fault.harm)


def _sent(mind: AdminStandin, body: dict[str, Any], harm: Harm | None) -> Response:
    headers = {}
    match harm:
        case "no_next":
            body |= {"has_more": True, "next_page": None}
        case "same_page":
            body |= {"has_more": True, "next_page": "page_0"}
        case "cut":
            text = json.dumps(body)
            return Response(text[: len(text) // 2], media_type="application/json")
        case "skewed":
            headers["date"] = format_datetime(mind.clock() + timedelta(hours=3))
        case _:
            pass
    return JSONResponse(body, headers=headers)


def _harmed(items: list[Any], harm: Harm | None) -> Any:
    match harm:
        case "reversed":
            return items[::-1]
        case "gap":
            return items[:-1]
        case "twice":
            return [*items, items[-1]]
        case "bad_amount":
            return _replaced(items, "amount", "a lot")
        case "bad_count":
            return _replaced(items, "output_tokens", None)
        case _:
            return items


def _replaced(part: Any, name: str, value: Any) -> Any:
    if isinstance(part, list):
        return [_replaced(each, name, value) for each in part]
    if isinstance(part, dict):
        return {
            key: value if key == name else _replaced(each, name, value)
            for key, each in part.items()
        }
    return part


def _error(problem: Problem, retry_after: str | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return JSONResponse(problem.body("req_admin"), status_code=problem.status, headers=headers)


def _buckets(request: Request, width: timedelta) -> Iterable[tuple[datetime, datetime]]:
    start = datetime.fromisoformat(request.query_params["starting_at"])
    end = datetime.fromisoformat(request.query_params["ending_at"])
    while start < end:
        yield start, start + width
        start += width


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bucket(start: datetime, end: datetime, results: list[Any]) -> dict[str, Any]:
    return {"starting_at": _rfc3339(start), "ending_at": _rfc3339(end), "results": results}


def _by_model(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.model, []).append(line)
    return dict(sorted(found.items()))


def _usage(mind: AdminStandin, request: Request) -> list[Any]:
    keys = request.query_params.getlist("api_key_ids[]")
    workspaces = request.query_params.getlist("workspace_ids[]")

    def wanted(line: Line) -> bool:
        holder = mind.holder(line)
        return (
            holder.email is None
            and (not keys or holder.api_key_id in keys)
            and (not workspaces or holder.workspace_id in workspaces)
        )

    return [
        _bucket(start, end, _usage_rows(filter(wanted, mind.lines(start, end))))
        for start, end in _buckets(request, _HOUR)
    ]


def _usage_rows(lines: Iterable[Line]) -> list[Any]:
    return [_usage_row(model, each) for model, each in _by_model(lines).items()]


def _usage_row(model: str, lines: list[Line]) -> dict[str, Any]:
    usage = Usage(input_tokens=0, output_tokens=0)
    for line in lines:
        usage = usage.plus(line.usage)
    return {
        "uncached_input_tokens": usage.input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_creation_5m_input_tokens,
            "ephemeral_1h_input_tokens": usage.cache_creation_1h_input_tokens,
        },
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "output_tokens": usage.output_tokens,
        "server_tool_use": {"web_search_requests": 0},
        "model": model,
        **dict.fromkeys(("api_key_id", "workspace_id", "service_tier", "context_window")),
    }


def _cost(mind: AdminStandin, request: Request) -> list[Any]:
    found = []
    for start, end in _buckets(request, _DAY):
        costs: dict[tuple[str | None, str], int] = {}
        for line in mind.lines(start, end):
            holder = mind.holder(line)
            if holder.email is None:
                key = (holder.workspace_id, line.model)
                costs[key] = costs.get(key, 0) + (line.cost_nano_usd or 0)
        rows = [_cost_row(*key, nano) for key, nano in costs.items()]
        found.append(_bucket(start, end, rows))
    return found


def _cost_row(workspace_id: str | None, model: str, nano: int) -> dict[str, Any]:
    return {
        "amount": str(Decimal(nano) / _NANO_PER_CENT),
        "currency": "USD",
        "cost_type": "tokens",
        "workspace_id": workspace_id,
        "model": model,
        "token_type": None,
        "description": f"{model} tokens",
    }


def _claude_code(mind: AdminStandin, request: Request) -> list[Any]:
    day = datetime.fromisoformat(request.query_params["starting_at"]).replace(tzinfo=UTC)
    people: dict[str, list[Line]] = {}
    for line in mind.lines(day, day + _DAY):
        email = mind.holder(line).email
        if email is not None:
            people.setdefault(email, []).append(line)
    return [
        {
            "date": _rfc3339(day),
            "actor": {"type": "user_actor", "email_address": email},
            "customer_type": "subscription",
            "subscription_type": "team",
            "core_metrics": {"num_sessions": 1},
            "model_breakdown": [
                _person_row(model, each) for model, each in _by_model(lines).items()
            ],
        }
        for email, lines in sorted(people.items())
    ]


def _person_row(model: str, lines: list[Line]) -> dict[str, Any]:
    row = _usage_row(model, lines)
    cost = sum(line.cost_nano_usd or 0 for line in lines)
    return {
        "model": model,
        "tokens": {
            "input": row["uncached_input_tokens"],
            "output": row["output_tokens"],
            "cache_creation": sum(row["cache_creation"].values()),
            "cache_read": row["cache_read_input_tokens"],
        },
        "estimated_cost": {"amount": cost / _NANO_PER_CENT, "currency": "USD"},
    }
