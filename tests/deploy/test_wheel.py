"""What whoever installs the wheel has."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from paths import ROOT


def test_a_wheel_has_the_page_and_needs_nothing_to_build_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    built = {f"api/page/built/{each.name}" for each in (ROOT / "api/page/built").iterdir()}
    assert "api/page/built/index.html" in built
    assert built <= names
    assert not any("frontend" in each or "node_modules" in each for each in names)
