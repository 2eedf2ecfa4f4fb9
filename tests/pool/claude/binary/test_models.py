from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pool.claude.binary.models import MOST_MODELS, offered_models, read_models
from pool.errors import ConfigError

SONNET = {"value": "sonnet", "resolvedModel": "claude-sonnet-5-5", "displayName": "Sonnet"}
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def answer(*models: Any) -> str:
    response = {"commands": [], "models": models}
    told = {"subtype": "success", "request_id": "models", "response": response}
    return json.dumps({"type": "control_response", "response": told})


def test_a_name_is_read_with_what_it_runs_as() -> None:
    long = {"value": "opus[1m]", "resolvedModel": "claude-opus-5-5[1m]"}

    assert read_models(answer(SONNET, long)) == {
        "sonnet": "claude-sonnet-5-5",
        "opus[1m]": "claude-opus-5-5[1m]",
    }


def test_a_release_that_does_not_say_what_a_name_runs_as_is_understood() -> None:
    assert read_models(answer({"value": "sonnet"})) == {"sonnet": "sonnet"}


@pytest.mark.parametrize(
    "entry",
    [
        {**SONNET, "disabled": True},
        {**SONNET, "value": None},
        {**SONNET, "value": "two words"},
        {**SONNET, "resolvedModel": 7},
        "sonnet",
        None,
    ],
)
def test_what_cannot_be_chosen_or_read_is_left_out(entry: Any) -> None:
    haiku = {"value": "haiku", "resolvedModel": "claude-haiku-5-5"}

    assert read_models(answer(entry, haiku)) == {"haiku": "claude-haiku-5-5"}


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "no JSON",
        "[]",
        '{"type":"control_response"}',
        '{"type":"control_response","response":{"subtype":"error","error":"unknown"}}',
        '{"type":"control_response","response":{"response":{"models":"sonnet"}}}',
        '{"type":"result","response":{"response":{"models":[{"value":"sonnet"}]}}}',
    ],
)
def test_where_no_models_are_told_there_are_none(printed: str) -> None:
    assert read_models(printed) == {}


def test_the_models_are_found_between_other_lines_and_up_to_a_bound() -> None:
    many = answer(*({"value": f"claude-many-{n}"} for n in range(MOST_MODELS + 1)))

    assert len(read_models(f'{{"type":"system"}}\nnoise\n{many}\n')) == MOST_MODELS


async def test_the_cli_is_asked_without_a_prompt(tmp_path: Path) -> None:
    cli = tmp_path / "claude"
    cli.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/argv\ncat > {tmp_path}/told\n')
    with cli.open("a") as script:
        script.write(f"echo '{answer(SONNET)}'\n")
    cli.chmod(0o700)

    assert await offered_models(cli, ENVIRONMENT) == {"sonnet": "claude-sonnet-5-5"}
    (told,) = (tmp_path / "told").read_text().splitlines()
    assert json.loads(told)["request"] == {"subtype": "initialize"}
    assert "--setting-sources=" in (tmp_path / "argv").read_text()


@pytest.mark.parametrize("script", ["exit 1", "echo 'unknown option' >&2; exit 2", "sleep 30"])
async def test_a_cli_that_cannot_say_is_an_error_in_time(tmp_path: Path, script: str) -> None:
    cli = tmp_path / "claude"
    cli.write_text(f"#!/bin/sh\n{script}\n")
    cli.chmod(0o700)

    with pytest.raises(ConfigError, match="claude"):
        await offered_models(cli, ENVIRONMENT, seconds=0.5)
