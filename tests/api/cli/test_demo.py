"""The demonstration as a user sees it: real Ray, the real CLI, some fifteen seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pool.claude.locate import find_executable
from pool.errors import ConfigError


def there_is_a_cli() -> bool:
    try:
        find_executable(None, search_path=os.environ.get("PATH"))
    except ConfigError:
        return False
    return True


@pytest.mark.skipif(not there_is_a_cli(), reason="no Claude CLI on this machine")
def test_the_demo_shows_a_limit_and_ends_with_books_that_agree() -> None:
    folders = set(Path(tempfile.gettempdir()).glob("claude-pool-demo-*"))

    done = subprocess.run(
        [sys.executable, "-c", "from api.main import app; app()", "demo", "--executions", "3"],
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "the books agree to the nano-dollar" in done.stdout
    assert "cooldown" in done.stdout
    assert set(Path(tempfile.gettempdir()).glob("claude-pool-demo-*")) == folders
