"""What a process and all that it started take: CPU time and memory, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> set[int]:
    """A process, its children, and theirs."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int(_after_name(entry)[1])
    found, grown = {root}, True
    while grown:
        more = {each for each, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found


def cpu_seconds(processes: set[int]) -> float:
    """What they have taken so far, with their children that ended."""
    ticks = 0
    for pid in processes:
        with suppress(OSError):
            ticks += sum(map(int, _after_name(Path(f"/proc/{pid}"))[11:15]))
    return ticks / _TICK


def memory_mib(processes: set[int]) -> float:
    """Their memory; what several share counts once (PSS)."""
    total = 0
    for pid in processes:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            total += int(text.partition("\nPss:")[2].split()[0])
    return total / 1024


def _after_name(entry: Path) -> list[str]:
    """The fields of ``stat`` from the third on."""
    return (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
