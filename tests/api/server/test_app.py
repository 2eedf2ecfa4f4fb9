from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from httpx import AsyncClient

from api.dialects.openapi import stream_schemas
from api.routes.operations.events import happening_schemas
from api.server import app as app_module
from api.web.stream.sse import event_schemas

CONTRACT = {
    "/v1/messages": {"post"},
    "/v1/chat/completions": {"post"},
    "/v1/responses": {"post"},
    "/v1/responses/{response_id}": {"get"},
    "/v1/models": {"get"},
    "/v1/models/{model_id}": {"get"},
    "/v1/executions": {"get", "post"},
    "/v1/executions/{execution_id}": {"get"},
    "/v1/executions/{execution_id}/cancel": {"post"},
    "/v1/executions/{execution_id}/tool_results": {"post"},
    "/v1/executions/{execution_id}/events": {"get"},
    "/v1/route": {"post"},
    "/v1/capacity": {"get"},
    "/v1/sessions": {"get"},
    "/v1/sessions/{session_id}": {"get", "delete"},
    "/v1/subscriptions": {"get", "post"},
    "/v1/subscriptions/{subscription_id}": {"get", "patch", "delete"},
    "/v1/subscriptions/{subscription_id}/pause": {"post"},
    "/v1/subscriptions/{subscription_id}/resume": {"post"},
    "/v1/subscriptions/{subscription_id}/drain": {"post"},
    "/v1/subscriptions/{subscription_id}/usage": {"get", "post"},
    "/v1/subscriptions/{subscription_id}/usage/retract": {"post"},
    "/v1/subscriptions/{subscription_id}/blocks": {"get"},
    "/v1/subscriptions/{subscription_id}/health": {"get"},
    "/v1/usage": {"get"},
    "/v1/usage/own": {"get"},
    "/v1/keys": {"get", "post"},
    "/v1/keys/{key_id}": {"delete"},
    "/v1/keys/{key_id}/rotate": {"post"},
    "/v1/pool": {"get"},
    "/v1/backups": {"post"},
    "/v1/alerts": {"get"},
    "/v1/nodes": {"get"},
    "/v1/events": {"get"},
    "/v1/otlp/v1/logs": {"post"},
    "/v1/reconciliations": {"get", "post"},
    "/v1/reconciliations/{reconciliation_id}": {"get"},
    "/v1/reconciliations/{reconciliation_id}/reverse": {"post"},
    "/healthz": {"get"},
    "/readyz": {"get"},
}


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_holds_the_contract_and_nothing_else(document: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in document["paths"].items()} == CONTRACT


DIALECTS = {
    "/v1/messages": "MessagesError",
    "/v1/chat/completions": "ChatError",
    "/v1/responses": "ChatError",
    "/v1/responses/{response_id}": "ChatError",
    "/v1/models": "ModelsError",
    "/v1/models/{model_id}": "ModelsError",
}


def test_a_dialect_documents_errors_of_its_own_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        shape = DIALECTS.get(name.partition(" ")[2])
        for status, response in operation["responses"].items():
            if int(status) >= 400 and shape is not None:
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{shape}"}, (name, status)


def test_every_other_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and name.partition(" ")[2] not in DIALECTS:
                assert list(response["content"]) == ["application/problem+json"], (name, status)
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_every_answer_has_the_shape_of_a_model(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) in {200, 201, 202}:
                for media_type, content in response["content"].items():
                    schema = content["schema"]
                    if media_type == "text/event-stream":
                        schema = schema["properties"]["data"]["contentSchema"]
                    ref = schema.get("$ref", "")
                    assert ref.startswith("#/components/schemas/"), (name, status)


def test_every_route_under_v1_documents_its_keys(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert ("security" in operation) == (" /v1/" in name), name


def test_everything_referred_to_is_there(document: dict[str, Any]) -> None:
    known = document["components"]["schemas"].keys()

    assert {ref.rpartition("/")[2] for ref in references(document)} <= known


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [ref for each in part.values() for ref in references(each)]
    return [ref for each in part for ref in references(each)] if isinstance(part, list) else []


async def test_an_execution_answers_in_the_documented_shape(
    http: AsyncClient, document: dict[str, Any]
) -> None:
    shape = document["components"]["schemas"]["Execution"]["properties"]

    execution = (await http.post("/v1/executions", json={"prompt": "say yes"})).json()

    assert set(execution) == set(shape)


async def test_the_pages_of_the_document_are_served(http: AsyncClient) -> None:
    assert (await http.get("/docs")).status_code == 200
    assert (await http.get("/openapi.json")).json()["openapi"].startswith("3.")


def test_no_two_shapes_of_the_document_have_one_name() -> None:
    """One would stand for both: a piece of thinking was shown as the setting of that name."""
    told = get_openapi(title="", version="", routes=app_module._routes().routes)
    known = told["components"]["schemas"]
    streamed = (event_schemas(), happening_schemas(), stream_schemas())

    differing = [
        name
        for each in streamed
        for name in known.keys() & each.keys()
        if known[name].get("properties", {}).keys() != each[name].get("properties", {}).keys()
    ]

    assert differing == []
