from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pool.claude.binary.models import (
    KEPT_SECONDS,
    MOST_MODELS,
    ModelsFile,
    offered_models,
    read_models,
)
from pool.claude.process.process_runner import ProcessRunner
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


COUNTS = f"""#!/bin/sh
echo asked >> "$0.asked"
cat > /dev/null
echo '{answer(SONNET)}'
"""


def cli_that_counts(folder: Path) -> Path:
    cli = folder / "claude"
    cli.write_text(COUNTS)
    cli.chmod(0o700)
    return cli


async def learned(cli: Path, **more: str) -> tuple[dict[str, str], int]:
    """What an activation hears, and how often the CLI was asked by all of them."""

    async def executable() -> Path:
        return cli

    folder = cli.parent / "subscription"
    folder.mkdir(exist_ok=True)
    environment = {**ENVIRONMENT, "CLAUDE_CONFIG_DIR": str(folder / "claude"), **more}
    models = await ProcessRunner(executable, folder / "runs").models(environment)
    notes = await asyncio.to_thread(Path(f"{cli}.asked").read_text)
    return models, notes.count("asked")


async def test_the_next_activation_goes_by_the_last_answer(tmp_path: Path) -> None:
    cli = cli_that_counts(tmp_path)

    told = [await learned(cli) for _ in range(3)]

    assert told == [({"sonnet": "claude-sonnet-5-5"}, 1)] * 3


async def test_another_login_or_another_cli_is_asked_anew(tmp_path: Path) -> None:
    cli = cli_that_counts(tmp_path)
    await learned(cli)

    asked = [(await learned(cli, CLAUDE_CODE_OAUTH_TOKEN="another"))[1]]
    (tmp_path / "subscription/claude/.credentials.json").write_text("{}")
    asked.append((await learned(cli, CLAUDE_CODE_OAUTH_TOKEN="another"))[1])
    cli.write_text(f"{COUNTS}# newer")
    asked.append((await learned(cli, CLAUDE_CODE_OAUTH_TOKEN="another"))[1])

    assert asked == [2, 3, 4]


async def test_an_answer_that_is_old_or_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    cli, file = cli_that_counts(tmp_path), tmp_path / "subscription" / "models.json"
    await learned(cli)
    os.utime(file, times=(time.time(), time.time() - KEPT_SECONDS - 1))
    old = (await learned(cli))[1]
    file.write_text("half a li")

    assert (old, (await learned(cli))[1]) == (2, 3)
    assert ModelsFile.model_validate_json(file.read_bytes()).models == read_models(answer(SONNET))
