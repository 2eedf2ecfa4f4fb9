from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pool.claude.binary.reported_limits import read_usage, usage_reading
from pool.errors import ConfigError
from pool.limits.usage_reading import NoProfile, UsageReading

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)
RESET = datetime(2026, 1, 28, 15, tzinfo=UTC)
LIMITS = {
    "five_hour": {"utilization": 40, "resets_at": "2026-01-28T15:00:00+00:00"},
    "seven_day": {"utilization": 12.5, "resets_at": "2026-01-30T07:00:00Z"},
    "seven_day_opus": {"utilization": 90, "resets_at": None},
    "seven_day_oauth_apps": {"utilization": 99, "resets_at": None},
    "seven_day_sonnet": None,
    "model_scoped": [
        {"display_name": "Fable limit", "utilization": 70, "resets_at": None},
        {"display_name": "Somebody new", "utilization": 100, "resets_at": None},
    ],
    "extra_usage": {
        "is_enabled": True,
        "monthly_limit": 5000,
        "used_credits": 250.0,
        "utilization": 5,
        "currency": "USD",
    },
}


def printed(limits: Any = LIMITS, **fields: Any) -> str:
    told = {"subscription_type": "max", "rate_limits_available": True, "rate_limits": limits}
    answer = {"subtype": "success", "request_id": "usage", "response": {**told, **fields}}
    lines = ({"type": "system"}, {"type": "control_response", "response": answer})
    return "\n".join(map(json.dumps, lines))


def read(text: str) -> UsageReading:
    reading = usage_reading(text, NOW)
    assert isinstance(reading, UsageReading)
    return reading


def test_windows_are_read_as_shares_with_their_source_and_reset() -> None:
    window = read(printed()).event.windows["five_hour"]

    assert (window.utilization, window.resets_at, window.status) == (0.4, RESET, "allowed")
    assert (window.source, window.observed_at, window.models) == ("get_usage", NOW, None)


def test_limits_of_a_model_hold_for_it_alone_and_unknown_ones_for_nobody() -> None:
    windows = read(printed()).event.windows

    assert {name: window.models for name, window in windows.items()} == {
        "five_hour": None,
        "seven_day": None,
        "seven_day_opus": "opus",
        "seven_day_overage_included": "fable",
    }


def test_extra_usage_is_told_with_its_limit_of_money() -> None:
    extra = read(printed()).extra_usage

    assert extra is not None
    assert (extra.is_enabled, extra.monthly_limit, extra.used_credits) == (True, 5000, 250)
    assert (extra.utilization, extra.currency, extra.observed_at) == (0.05, "USD", NOW)


def test_the_whole_answer_is_kept() -> None:
    assert read(printed()).event.raw == LIMITS


def test_without_a_profile_nothing_can_be_had() -> None:
    assert usage_reading(printed(None, rate_limits_available=False), NOW) == NoProfile()


@pytest.mark.parametrize(
    "text",
    [
        *("", "no JSON", "[]", '{"type":"control_response"}', printed(None)),
        '{"type":"control_response","response":{"subtype":"error","error":"unknown"}}',
    ],
)
def test_where_nothing_is_said_there_is_no_reading(text: str) -> None:
    assert usage_reading(text, NOW) is None


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"five_hour": 3, "model_scoped": "x", "extra_usage": []},
        {"five_hour": {"utilization": None, "resets_at": None}},
        {"five_hour": {"utilization": True}, "model_scoped": [None, {"display_name": 3}]},
        {"five_hour": {"utilization": -1, "resets_at": 17}},
    ],
)
def test_what_cannot_be_read_is_no_window(limits: Any) -> None:
    reading = read(printed(limits))

    assert (reading.event.windows, reading.extra_usage) == ({}, None)


async def test_the_cli_is_asked_without_a_prompt_and_read_to_its_end(tmp_path: Path) -> None:
    cli, answer = tmp_path / "claude", tmp_path / "answer"
    answer.write_text(printed(), encoding="utf-8")
    cli.write_text(f'#!/bin/sh\ngrep -q get_usage || exit 1\ncat "{answer}"\n')
    cli.chmod(0o700)

    reading = await read_usage(cli, {"PATH": "/usr/bin:/bin"}, NOW)

    assert isinstance(reading, UsageReading)
    assert reading.event.windows["seven_day"].utilization == 0.125


async def test_a_cli_that_does_not_know_the_question_is_a_problem_of_it(tmp_path: Path) -> None:
    cli = tmp_path / "claude"
    cli.write_text("#!/bin/sh\ncat > /dev/null\n")
    cli.chmod(0o700)

    with pytest.raises(ConfigError, match="does not say what is used"):
        await read_usage(cli, {"PATH": "/usr/bin:/bin"}, NOW)
