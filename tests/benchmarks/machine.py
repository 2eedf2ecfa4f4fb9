"""The machine that measures, and how busy it is."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pool.claude.binary.locate import find_executable

ROOT = Path(__file__).parents[2]


def described() -> dict[str, Any]:
    """What stands beside the figures. No name of the machine: results are published."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "cli": _said(str(find_executable(None, search_path="/nonexistent")), "--version"),
        "load": load(),
    }


def load() -> float:
    """What ran or waited for the disk, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
