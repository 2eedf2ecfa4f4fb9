from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from api.main import app

SLOW = {"ray", "fastapi", "uvicorn", "httpx", "apsw"}


def test_the_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout == "claude-pool 0.1.0\n"


@pytest.mark.parametrize(
    "command",
    ["serve", "run", "status", "subscriptions", "subscriptions add", "doctor", "demo"],
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, [*command.split(), "--help"])

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 8


def test_nothing_slow_is_loaded_to_explain_it() -> None:
    code = "import sys, api.main; print(' '.join(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()

    assert set(loaded) & SLOW == set()
