"""A real browser, as somebody has it who looks at the page: Chromium, headless."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    expect,
    sync_playwright,
)

from tests.support.suite.paths import ROOT

FRONTEND = ROOT / "api" / "page" / "frontend"
AXE = FRONTEND / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""It runs as root in a container as a rule, and reaches nothing but this machine."""
_PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
"""The first is Debian's Chromium without windows: the tests of the page take a tenth less there."""
_OFFENDS = ("serious", "critical")
_VIOLATIONS = "async () => (await axe.run({resultTypes: ['violations']})).violations"
"""To describe each node that is as it should be takes longer than to look at all."""


def chromium() -> str:
    """Where it is; says how to come by it where it is not."""
    installed = (shutil.which(each) for each in _PROGRAMS)
    found = os.environ.get("CHROMIUM") or next(filter(None, installed), None)
    if found is None:
        raise RuntimeError(
            "no Chromium: `make browser`, or apt-get install chromium-headless-shell"
        )
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*_ARGUMENTS])
        yield browser
        browser.close()


class Visitor:
    """Somebody at a page, and what the browser complains about meanwhile."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._told)
        page.on("pageerror", self._failed)

    def sees(self, viewport: tuple[int, int], color_scheme: str) -> None:
        """Have a window of a size, and a theme."""
        self.page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
        self.page.emulate_media(color_scheme=color_scheme)

    def leave(self) -> None:
        """Leave nothing behind for whoever is at the page next."""
        self.page.remove_listener("console", self._told)
        self.page.remove_listener("pageerror", self._failed)
        self.page.unroute_all()
        self.page.evaluate("localStorage.clear(), sessionStorage.clear()")
        self.page.context.clear_cookies()
        self.page.goto("about:blank")

    def _failed(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def accessibility(self) -> list[str]:
        """What axe-core finds serious, or worse."""
        if not self.page.evaluate("'axe' in window"):
            # By the debugger's way: the page's policy lets in no script but its own.
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(_VIOLATIONS)
        return [_told_of(each) for each in found if each["impact"] in _OFFENDS]

    @property
    def scrolls_sideways(self) -> bool:
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        return bool(wide > self.page.evaluate("innerWidth"))


_COMPARE = """
async ([one, other, width, height]) => {
  const pixels = async (picture) => {
    const bytes = Uint8Array.from(atob(picture), (each) => each.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(width, height).getContext("2d");
    canvas.imageSmoothingQuality = "high";
    canvas.drawImage(image, 0, 0, width, height);
    return canvas.getImageData(0, 0, width, height).data;
  };
  const [left, right] = [await pixels(one), await pixels(other)];
  return left.reduce((sum, each, at) => sum + Math.abs(each - right[at]), 0) / left.length / 255;
}
"""


def difference(page: Page, one: bytes, other: bytes) -> float:
    """How much two pictures differ, of 1, once both are as small as a stamp: a part that has moved
    or gone shows, a letter that is drawn otherwise does not.
    """
    pictures = [base64.b64encode(each).decode() for each in (one, other)]
    return float(page.evaluate(_COMPARE, [*pictures, 72, 45]))


def _told_of(violation: dict[str, Any]) -> str:
    nodes = [node["html"][:200] for node in violation["nodes"]]
    return f"{violation['id']}: {violation['help']} {json.dumps(nodes[:4])}"


@contextmanager
def visitor(browser: Browser, **context: Any) -> Iterator[Visitor]:
    """One with a browser of their own: nothing is remembered from others."""
    window = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light", **context}
    opened = browser.new_context(**window)
    try:
        yield Visitor(opened.new_page())
    finally:
        opened.close()


class Seat:
    """A page of a browser, where one visitor comes after the other. To load what is looked at takes
    a third there of what it takes in a browser of one's own.
    """

    def __init__(self, browser: Browser, **context: Any) -> None:
        self._browser = browser
        self._context = context
        self._page: Page | None = None

    @contextmanager
    def taken(
        self, viewport: tuple[int, int] = (1440, 900), color_scheme: str = "light"
    ) -> Iterator[Visitor]:
        """By somebody of whom nothing is known, in a window of a size. Whoever fails there leaves
        none to the next.
        """
        page = self._page or self._browser.new_context(**self._context).new_page()
        self._page = None
        there = Visitor(page)
        there.sees(viewport, color_scheme)
        try:
            yield there
            there.leave()
        except BaseException:
            page.context.close()
            raise
        self._page = page
