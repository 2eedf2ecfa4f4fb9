from typing import Any

import pytest

from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeySpec
from pool.keys.forbidden import forbidden


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q"} | of)


def key(**of: object) -> KeySpec:
    return KeySpec.model_validate({"name": "ci"} | of)


@pytest.mark.parametrize(
    ("limits", "request_", "field"),
    [
        ({"models": ["claude-haiku-*"]}, {"model": "claude-opus-4-1"}, "model"),
        ({"models": ["claude-haiku-*"]}, {}, "model"),
        ({"subscriptions": ["sub2"]}, {"subscription_id": "sub1"}, "subscription_id"),
        ({"subscriptions": ["sub2"]}, {}, "session_id"),
        ({"tools": ["Read"]}, {"tools": ["Read", "Write"]}, "tools"),
        ({}, {"tools": ["Read"]}, "tools"),
        ({"daily_budget_usd": 1}, {"max_budget_usd": 2}, "max_budget_usd"),
        ({"weekly_budget_usd": 1}, {"max_budget_usd": 2}, "max_budget_usd"),
        ({"max_request_usd": 1}, {"max_budget_usd": 2}, "max_budget_usd"),
    ],
)
def test_what_a_key_does_not_cover_is_named_by_its_field(
    limits: dict[str, Any], request_: dict[str, Any], field: str
) -> None:
    home = "sub1" if field == "session_id" else None

    no = forbidden(key(**limits), ask(**request_), default_model="claude-sonnet-4-5", home=home)

    assert no is not None
    assert no.field == field


def test_what_a_key_covers_is_not_forbidden() -> None:
    limits = key(
        models=["claude-sonnet-*"], subscriptions=["sub1"], tools=["Read"], max_request_usd=1
    )
    request = ask(tools=["Read"], subscription_id="sub1", max_budget_usd=1)

    assert forbidden(limits, request, default_model="claude-sonnet-4-5", home="sub1") is None
