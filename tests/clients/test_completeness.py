"""Nothing that can be asked for in one way is missing in another."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from fastapi import FastAPI

from actors.client.blocking import BlockingPoolClient
from actors.client.client import PoolClient
from api.server.app import create_app
from api.web.authentication import Keys

OPERATIONS = {
    "POST /v1/executions": ("execute", "start", "stream"),
    "GET /v1/executions": ("executions",),
    "GET /v1/executions/{execution_id}": ("result",),
    "GET /v1/executions/{execution_id}/events": ("events", "progress"),
    "POST /v1/executions/{execution_id}/cancel": ("cancel",),
    "POST /v1/executions/{execution_id}/tool_results": ("tool_results",),
    "POST /v1/route": ("route",),
    "GET /v1/sessions": ("sessions",),
    "GET /v1/sessions/{session_id}": ("session",),
    "DELETE /v1/sessions/{session_id}": ("forget_session",),
    "GET /v1/subscriptions": ("subscriptions", "shown_subscriptions"),
    "POST /v1/subscriptions": ("add",),
    "GET /v1/subscriptions/{subscription_id}": ("subscription",),
    "PATCH /v1/subscriptions/{subscription_id}": ("change",),
    "DELETE /v1/subscriptions/{subscription_id}": ("remove",),
    "POST /v1/subscriptions/{subscription_id}/pause": ("pause",),
    "POST /v1/subscriptions/{subscription_id}/resume": ("resume",),
    "POST /v1/subscriptions/{subscription_id}/drain": ("drain",),
    "GET /v1/subscriptions/{subscription_id}/health": ("subscription",),
    "GET /v1/subscriptions/{subscription_id}/usage": ("usage",),
    "POST /v1/subscriptions/{subscription_id}/usage": ("report_usage",),
    "POST /v1/subscriptions/{subscription_id}/usage/retract": ("retract_usage",),
    "GET /v1/subscriptions/{subscription_id}/blocks": ("blocks",),
    "GET /v1/usage": ("usage_by",),
    "GET /v1/usage/own": ("own_usage",),
    "GET /v1/pool": ("pool",),
    "GET /v1/capacity": ("capacity",),
    "GET /v1/alerts": ("alerts",),
    "GET /v1/nodes": ("nodes",),
    "GET /v1/events": ("watch", "happenings"),
    "POST /v1/backups": ("backup",),
    "GET /v1/keys": ("keys",),
    "POST /v1/keys": ("create_key",),
    "POST /v1/keys/{key_id}/rotate": ("rotate_key",),
    "DELETE /v1/keys/{key_id}": ("revoke_key",),
    "GET /v1/reconciliations": ("reconciliations",),
    "POST /v1/reconciliations": ("reconcile",),
    "GET /v1/reconciliations/{reconciliation_id}": ("reconciliation",),
    "POST /v1/reconciliations/{reconciliation_id}/reverse": ("reverse_adjustments",),
}
"""What each operation stands on; a client does the same with any of its methods."""

HTTP_ITSELF = {
    "GET /healthz": "a probe",
    "GET /readyz": "a probe",
    "POST /v1/messages": "a dialect of execute and stream",
    "POST /v1/chat/completions": "a dialect of execute and stream",
    "POST /v1/responses": "a dialect of execute and stream",
    "GET /v1/responses/{response_id}": "a dialect of result",
    "GET /v1/models": "a dialect's list",
    "GET /v1/models/{model_id}": "a dialect's list",
    "POST /v1/otlp/v1/logs": "a protocol of report_telemetry",
}

CLIENT_ITSELF = {
    "ended": "waits on, where HTTP holds its answer back",
    "round_ended": "waits on, where HTTP holds its answer back",
    "execution_of_calls": "what dialects find an execution by",
    "go_on": "what dialects find a history's session by",
    "conversation_answered": "what dialects find a history's session by",
    "report_telemetry": "behind /v1/otlp",
    "figures": "what /metrics shows",
    "shown_figures": "behind /metrics",
    "heard_from": "behind /readyz",
    "is_open": "what HTTP asks before it serves anybody",
    "authenticate": "what HTTP asks before it serves anybody",
    "with_access": "what HTTP serves each caller with",
    "stop": "behind the end of the service",
}

IN_HTTP_ALONE = {
    "format", "Accept", "Idempotency-Key", "Last-Event-ID", "X-Session-Id", "anthropic-beta",
}  # fmt: skip
"""Parameters about how an answer is written, or that a client has under another name."""
ONE_VALUE = {"kind", "subscription_id", "execution_id", "session_id"}
"""Parameters of ``GET /v1/events``, which are the fields of the client's ``wanted``."""


def methods(of: type) -> dict[str, Callable[..., Any]]:
    return {
        name: method
        for name, method in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_")
    }


ASYNC, BLOCKING = methods(PoolClient), methods(BlockingPoolClient)


@pytest.mark.parametrize("name", sorted(set(ASYNC) - {"with_access"}))
def test_the_blocking_client_has_the_same_method(name: str) -> None:
    here, there = ASYNC[name], BLOCKING[name]

    mine, twins = inspect.signature(here).parameters, inspect.signature(there).parameters
    assert [(each.name, each.kind, each.default) for each in mine.values()] == [
        (each.name, each.kind, each.default) for each in twins.values()
    ]
    types, twins_types = get_type_hints(here), get_type_hints(there)
    assert {**types, "return": _unwrapped(types["return"])} == twins_types


def _unwrapped(answer: Any) -> Any:
    return Iterator[get_args(answer)[0]] if get_origin(answer) is AsyncGenerator else answer


def test_the_blocking_client_has_nothing_else() -> None:
    assert {"close"} == BLOCKING.keys() - ASYNC.keys()


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    """Every operation of the OpenAPI document, by method and path."""
    app: FastAPI = create_app(PoolClient(None), Keys({}))  # type: ignore[arg-type]
    return {
        f"{method.upper()} {path}": operation
        for path, each in app.openapi()["paths"].items()
        for method, operation in each.items()
        if method in {"get", "post", "put", "patch", "delete"}
    }


def test_every_operation_has_its_method(operations: dict[str, dict[str, Any]]) -> None:
    assert operations.keys() == OPERATIONS.keys() | HTTP_ITSELF.keys()
    assert not OPERATIONS.keys() & HTTP_ITSELF.keys()


def test_every_method_has_its_operation() -> None:
    named = {method for each in OPERATIONS.values() for method in each}

    assert ASYNC.keys() == named | CLIENT_ITSELF.keys()
    assert not named & CLIENT_ITSELF.keys()


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_client_can_say_whatever_http_can(
    operation: str, operations: dict[str, dict[str, Any]]
) -> None:
    said = {
        each["name"]
        for each in operations[operation].get("parameters", [])
        if each["in"] != "cookie"
    }
    methods_there = [ASYNC[method] for method in OPERATIONS[operation]]
    can_say = {name for each in methods_there for name in inspect.signature(each).parameters}

    assert said - IN_HTTP_ALONE - can_say <= (ONE_VALUE if "wanted" in can_say else set())
