"""The demonstration as a user sees it: real Ray, the real CLI, some fifteen seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pool.claude.binary.locate import find_executable
from pool.errors import ConfigError


def there_is_a_cli() -> bool:
    try:
        find_executable(None, search_path=os.environ.get("PATH"))
    except ConfigError:
        return False
    return True


@pytest.mark.timeout(330)
@pytest.mark.skipif(not there_is_a_cli(), reason="no Claude CLI on this machine")
def test_the_demo_shows_a_limit_and_ends_with_figures_that_agree() -> None:
    command = [
        sys.executable,
        "-c",
        "from api.main import app; app()",
        "demo",
        "--once",
        "--executions",
        "2",
    ]
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as short:
        done = subprocess.run(
            command,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TMPDIR": short},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        left = [*Path(short).glob("claude-pool-*"), *Path(short).glob("cpool-*")]

    assert done.returncode == 0, done.stdout + done.stderr
    assert "they agree to the nano-dollar" in done.stdout
    assert "cooldown" in done.stdout
    assert "waiting_for_caller on " in done.stdout
    assert "succeeded after 2 rounds" in done.stdout
    assert "overloaded on " in done.stdout
    assert "the session goes on at " in done.stdout
    assert "look at it: http://127.0.0.1:" in done.stdout
    assert "traffic" not in done.stdout
    assert left == []
