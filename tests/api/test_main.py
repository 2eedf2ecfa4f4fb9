from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from api.main import COMMANDS, app, loaded

SLOW = {"ray", "fastapi", "uvicorn", "httpx", "apsw", "pydantic"}


def test_the_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout == "claude-pool 0.1.0\n"


@pytest.mark.parametrize("command", [*COMMANDS, "subscriptions add"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, [*command.split(), "--help"])

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 8


def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with() -> None:
    beginnings = {name: loaded(name).help.partition("\n\n")[0] for name in COMMANDS}

    assert {name: help_ for name, (_, help_) in COMMANDS.items()} == beginnings


def test_a_command_that_there_is_not_is_told_with_those_like_it() -> None:
    result = CliRunner().invoke(app, ["statsu"])

    assert result.exit_code == 2
    assert "Did you mean 'status'" in result.stderr


def test_nothing_slow_is_loaded_to_list_the_commands() -> None:
    code = """if True:
        import sys
        from api.main import app
        app(["--help"], standalone_mode=False)
        print("LOADED", *sys.modules)
    """

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert set(printed.partition("LOADED")[2].split()) & SLOW == set()
