"""Settings of the model, as a process of the CLI is told of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pool.claude.launch.model_settings import (
    thinking_anew,
    thinking_request,
    variables,
    variables_anew,
)
from pool.executions.model_settings import ModelSettings


def of(**settings: Any) -> dict[str, str]:
    return variables(ModelSettings.model_validate(settings), {})


def test_nothing_asked_for_adds_nothing() -> None:
    assert of() == {}


def test_sampling_and_stops_go_into_the_body_of_the_request() -> None:
    body = json.loads(of(temperature=0.2, top_k=3, stop_sequences=["ZZ"])["CLAUDE_CODE_EXTRA_BODY"])

    assert body == {"temperature": 0.2, "top_k": 3, "stop_sequences": ["ZZ"]}


def test_the_operators_own_body_and_bound_hold_on() -> None:
    settings = ModelSettings(max_tokens=5_000, top_p=0.5)
    own = {
        "CLAUDE_CODE_EXTRA_BODY": '{"top_p": 0.9, "metadata": {"user_id": "pool"}}',
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "4000",
    }

    found = variables(settings, own)

    assert found["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "4000"
    assert json.loads(found["CLAUDE_CODE_EXTRA_BODY"]) == {
        "top_p": 0.5,
        "metadata": {"user_id": "pool"},
    }


@pytest.mark.parametrize(
    ("settings", "thinks"),
    [
        ({}, None),
        ({"effort": "high"}, None),
        ({"stop_sequences": ["ZZ"]}, None),
        ({"max_tokens": 10}, False),
        ({"temperature": 0}, False),
        ({"max_tokens": 10, "effort": "high"}, None),
        ({"max_tokens": 10, "thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "disabled"}}, False),
    ],
)
def test_the_model_thinks_beside_other_settings_only_where_that_is_asked_for(
    settings: dict[str, Any], thinks: bool | None
) -> None:
    assert ModelSettings.model_validate(settings).thinks is thinks
    assert ("CLAUDE_CODE_DISABLE_THINKING" in of(**settings)) is (thinks is False)


def test_a_budget_of_thinking_and_what_is_shown_of_it_are_a_request_to_the_process() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2_000, "display": "summarized"}

    assert thinking_request(ModelSettings.model_validate({"thinking": thinking})) == {
        "subtype": "set_max_thinking_tokens",
        "max_thinking_tokens": 2_000,
        "thinking_display": "summarized",
    }
    assert thinking_request(ModelSettings(max_tokens=5)) is None


def test_a_budget_of_no_thinking_is_refused() -> None:
    with pytest.raises(ValidationError, match="budget_tokens goes with type enabled"):
        of(thinking={"type": "adaptive", "budget_tokens": 5})


def test_what_a_process_may_have_been_told_before_is_taken_back() -> None:
    none = variables_anew(ModelSettings(), {"CLAUDE_CODE_EFFORT_LEVEL": "low"})

    assert none == {
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "",
        "CLAUDE_CODE_EXTRA_BODY": "",
        "CLAUDE_CODE_DISABLE_THINKING": "",
        "CLAUDE_CODE_EFFORT_LEVEL": "low",
    }
    assert thinking_anew(ModelSettings()) == {
        "subtype": "set_max_thinking_tokens",
        "max_thinking_tokens": None,
        "thinking_display": None,
    }


def test_every_setting_that_can_be_told_can_be_taken_back() -> None:
    known = dict.fromkeys(("max_tokens", "temperature", "top_p", "top_k"), 1)
    thinking = {"type": "disabled"}
    settings = {**known, "stop_sequences": ["ZZ"], "thinking": thinking, "effort": "low"}
    assert settings.keys() == ModelSettings.model_fields.keys()

    assert of(**settings).keys() == variables_anew(ModelSettings(), {}).keys()
