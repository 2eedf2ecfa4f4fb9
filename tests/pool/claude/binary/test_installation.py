import os
from pathlib import Path

import pytest

from pool.claude.binary.installation import Installation
from pool.errors import ConfigError


def install(folder: Path, version: str) -> Path:
    """A binary that counts how often it was asked for its version."""
    path = folder / "claude"
    script = f'#!/bin/sh\necho x >> {folder}/asked\necho "{version} (Claude Code)"\n'
    path.write_text(script, encoding="utf-8")
    path.chmod(0o700)
    return path


def times_asked(folder: Path) -> int:
    return len((folder / "asked").read_text(encoding="utf-8").splitlines())


async def test_a_binary_is_asked_for_its_version_once(tmp_path: Path) -> None:
    path = install(tmp_path, "2.1.330")
    installation = Installation(str(path), None)

    found = [await installation.executable() for _ in range(3)]

    assert ([path] * 3, 1) == (found, times_asked(tmp_path))


async def test_a_binary_that_is_too_old_is_refused_and_its_upgrade_taken(tmp_path: Path) -> None:
    path = install(tmp_path, "2.1.197")
    installation = Installation(str(path), None)
    with pytest.raises(ConfigError, match=r"2\.1\.197 is too old"):
        await installation.executable()

    install(tmp_path, "2.1.330")
    os.utime(path, (1, 1))

    assert path == await installation.executable()


async def test_a_cli_that_is_installed_later_is_found(tmp_path: Path) -> None:
    installation = Installation("claude", str(tmp_path))
    with pytest.raises(ConfigError, match="no command"):
        await installation.executable()

    path = install(tmp_path, "2.1.330")

    assert path == await installation.executable()
