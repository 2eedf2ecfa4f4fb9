"""What whoever installs the wheel has."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.suite.paths import ROOT


def built_names(folder: Path, out: Path) -> set[str]:
    """What is in the wheel that is built of a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    (wheel,) = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_has_the_page_and_needs_nothing_to_build_it(tmp_path: Path) -> None:
    names = built_names(ROOT, tmp_path)

    built = {f"api/page/built/{each.name}" for each in (ROOT / "api/page/built").iterdir()}
    assert "api/page/built/index.html" in built
    assert built <= names
    assert not any("frontend" in each or "node_modules" in each for each in names)


def test_a_folder_without_its_gitignore_builds_the_same_wheel(tmp_path: Path) -> None:
    """As the image of ``deploy/Dockerfile`` does: nothing says there that the page is built."""
    folder, ignored = tmp_path / "copied", shutil.ignore_patterns("__pycache__", "node_modules")
    for name in ("pool", "actors", "api"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)

    assert built_names(folder, tmp_path / "bare") == built_names(ROOT, tmp_path / "whole")
