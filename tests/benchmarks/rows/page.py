"""How long somebody waits who opens the page: until there is something to see, and until every
panel has its figures, in a browser on the same machine.

The pool is one process here, its application and its stores real: what 60 subscriptions take in
60 processes hangs on the cores that there are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser

from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.support.callers.browser import browsing, visitor
from tests.support.pools.full_pool import served

YARDSTICK = "the same of 3 subscriptions with 300 records"
SMALL = (3, 300)
LARGE = (60, 100_000)
QUICK = (60, 6_000)
_LONGEST_MS = 60_000
_WATCH = """
new MutationObserver(() => {
  const has = (what) => document.querySelector(what) !== null;
  if (!window.filledAt && has(".headline") && has(".spark polyline") && !has(".loading")) {
    window.filledAt = performance.now();
  }
}).observe(document, {childList: true, subtree: true});
"""
_FILLED = """
async (longest) => {
  const until = performance.now() + longest;
  while (!window.filledAt && performance.now() < until) await new Promise(requestAnimationFrame);
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return [paint.startTime, window.filledAt ?? NaN];
}
"""


class Visits:
    """Somebody with an empty cache who opens the page of a pool, again and again."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self.filled: list[float] = []
        """Milliseconds until every panel had its figures, of each visit."""

    def paint(self) -> float:
        """Milliseconds until there was something to see."""
        with visitor(self._browser) as there:
            there.page.add_init_script(_WATCH)
            there.page.goto(self._url)
            paint, filled = there.page.evaluate(_FILLED, _LONGEST_MS)
        self.filled.append(filled)
        return float(paint)


def page(effort: Effort) -> Iterator[Figure]:
    large = QUICK if effort.is_quick else LARGE
    with ExitStack() as stack:
        browser = stack.enter_context(browsing())
        visits = {}
        for name, size in {"small": SMALL, "large": large}.items():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            url = stack.enter_context(served(Path(folder), *size))
            visits[name] = Visits(browser, url)
        painted = interleaved(effort.rounds, **{name: each.paint for name, each in visits.items()})
    about = f"{large[0]} subscriptions, {large[1]:,} records"
    small, filled = (visits[name].filled[1:] for name in ("small", "large"))
    yield Figure.of(f"first paint, {about}", "ms", painted["large"], YARDSTICK, painted["small"])
    yield Figure.of(f"all figures, {about}", "ms", filled, YARDSTICK, small)


ROWS = (Row("page", "The page in a browser", page),)
