"""The CLI and the runner of the tests here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process.process_runner import ProcessRunner
from tests.support.clis.little_cli import GRACE, found
from tests.support.clis.one_zygote import one_zygote

__all__ = ["one_zygote"]


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Path]:
    """Write a stand-in for the CLI's binary."""

    def write(source: str, interpreter: str = "/bin/sh") -> Path:
        path = tmp_path / "claude"
        path.write_text(f"#!{interpreter}\n{source}\n")
        path.chmod(0o700)
        return path

    return write


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., ProcessRunner]:
    def make(executable: Path, **options: Any) -> ProcessRunner:
        options = {"stop_grace": GRACE, **options}
        return ProcessRunner(found(executable), tmp_path / "subscription" / "runs", **options)

    return make
