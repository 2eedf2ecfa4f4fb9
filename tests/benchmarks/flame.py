"""Where the processes of a pool spend their time in Python, as a flame graph.

    python tests/benchmarks/flame.py [SVG]

py-spy samples who holds the interpreter in the API's process, the router's and a subscription's,
one after the other, while callers run executions whose CLI answers at once: what is left is the
pool's own work. Machinery that is the same below everything (asyncio, threads) is left out, so
that a frame stands on the one that it was called for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from tests.benchmarks.pool_service import NOWHERE, PoolCallers, served
from tests.benchmarks.process_tree import tree
from tests.support.clis.stubcli import stub_cli
from tests.support.suite.paths import ROOT

SVG = ROOT / "deploy/pictures/flame.svg"
SECONDS, RATE, CALLERS = 20, 100, 4
PROCESSES = {"API": "claude-pool", "router": "ray::RouterShell", "subscription": "ray::Subscr"}
"""By what their command line has."""
LEFT_OUT = ("asyncio/", "threading.py", "typer/", "concurrent/", "contextlib.py", "runners.py")
COLOURS = {
    "api": ("api/", "#5b8def"),
    "actors": ("actors/", "#7a6ff0"),
    "pool": ("pool/", "#2fa36b"),
    "Ray": ("ray/", "#e2a03f"),
    "pydantic": ("pydantic/", "#d9707d"),
}
OTHER = "#a3aab8"
WIDTH, HEIGHT, LEAST = 1200.0, 17, 2.0
"""Of the picture, of a frame, and the narrowest frame that is drawn; in pixels."""


@dataclass
class Frame:
    """A function, how often it was seen, and what it had called then."""

    name: str
    samples: int = 0
    calls: dict[str, Frame] = field(default_factory=dict)

    def add(self, stack: Iterable[str], samples: int) -> None:
        self.samples += samples
        at = self
        for name in stack:
            at = at.calls.setdefault(name, Frame(name))
            at.samples += samples

    @property
    def depth(self) -> int:
        return 1 + max((each.depth for each in self.calls.values()), default=0)


def sampled(process: str, pid: int, out: Path) -> Frame:
    """What a process did while it was watched."""
    watch = ("--gil", "--function", f"--rate={RATE}", f"--duration={SECONDS}", "--format=raw")
    spy = Path(sys.executable).with_name("py-spy")
    command = [str(spy), "record", f"--pid={pid}", *watch, f"--output={out}"]
    subprocess.run(command, check=True, capture_output=True)
    root = Frame(process)
    for line in out.read_text(encoding="utf-8").splitlines():
        stack, _, samples = line.rpartition(" ")
        root.add((each for each in stack.split(";") if _is_shown(each)), int(samples))
    return root


def _is_shown(frame: str) -> bool:
    return not any(each in frame for each in LEFT_OUT)


def pids(service: int) -> Iterator[tuple[str, int]]:
    """The processes of a service that are looked at; of its subscriptions the first."""
    lines = {}
    for pid in sorted(tree(service)):
        lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    for process, part in PROCESSES.items():
        yield process, next(pid for pid, line in lines.items() if part in line)


def profile() -> Frame:
    """All of them under one root."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        more = f'path = "{stub_cli(folder)}"\n'  # below [claude], which write_config leaves open
        how = {"subscriptions": 1, "slots": CALLERS, "keep_session_seconds": 0}
        with served(folder, NOWHERE, more=more, **how) as pool, at_work(pool):
            root = Frame("a pool")
            for process, pid in pids(pool.service.process.pid):
                found = sampled(process, pid, folder / "stacks")
                root.calls[process], root.samples = found, root.samples + found.samples
            return root


class at_work:  # noqa: N801 - used as a verb
    """Callers who ask as long as this is entered."""

    def __init__(self, pool: PoolCallers) -> None:
        self._pool = pool
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> None:
        self._pool.rate(CALLERS)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            self._pool.rate(CALLERS, 4)


def drawn(root: Frame) -> str:
    """The picture: a frame is as wide as it was seen often, and stands on its caller."""
    height = (root.depth + 2) * HEIGHT
    scale = WIDTH / root.samples
    legend = "".join(
        f'<rect x="{n * 90 + 4}" y="3" width="11" height="11" fill="{colour}"/>'
        f'<text x="{n * 90 + 19}" y="13">{name}</text>'
        for n, (name, colour) in enumerate(
            [*((name, colour) for name, (_, colour) in COLOURS.items()), ("others", OTHER)]
        )
    )
    frames = "".join(_boxes(root, 0.0, height - HEIGHT, scale, root.samples))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height}" '
        'font-family="ui-monospace, monospace" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>{legend}{frames}</svg>\n'
    )


def _boxes(frame: Frame, x: float, y: float, scale: float, total: int) -> Iterator[str]:
    width = frame.samples * scale
    if width < LEAST:
        return
    name = frame.name.partition(":")[0].rstrip(")") + ")" if "(" in frame.name else frame.name
    letters = int((width - 6) / 6.7)
    text = f'<text x="{x + 3:.1f}" y="{y + 12:.0f}">{escape(name[:letters])}</text>'
    yield (
        f"<g><title>{escape(name)}: {frame.samples / total:.1%}</title>"
        f'<rect x="{x:.1f}" y="{y:.0f}" width="{max(width - 0.5, 0.5):.1f}" '
        f'height="{HEIGHT - 1}" rx="1" fill="{_colour(frame.name)}" fill-opacity="0.75"/>'
        f"{text if letters > 3 else ''}</g>"
    )
    for each in sorted(frame.calls.values(), key=lambda each: -each.samples):
        yield from _boxes(each, x, y - HEIGHT, scale, total)
        x += each.samples * scale


def _colour(name: str) -> str:
    place = name.rpartition("(")[2]
    found = (colour for start, colour in COLOURS.values() if place.startswith(start))
    return next(found, OTHER)


if __name__ == "__main__":
    to = Path(sys.argv[1]) if sys.argv[1:] else SVG
    seen = profile()
    to.write_text(drawn(seen), encoding="utf-8")
    for process, each in seen.calls.items():
        print(f"{process}: {each.samples} of {RATE * SECONDS} samples")
