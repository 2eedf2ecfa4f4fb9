"""The pictures of the page that the README shows: made here, and compared with what they were.

`PICTURES=new` has them made anew, after a change that was looked at.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from browser import Seat, difference
from paths import ROOT
from playwright.sync_api import Browser, expect
from staged_pool import stage

PICTURES = ROOT / "deploy" / "pictures"
AFTERNOON = datetime(2026, 1, 28, 13, 42, tzinfo=UTC)
ALIKE = 0.03
"""Of 1. A panel that is missing makes some 0.1, another Chromium 0.002."""


@pytest.fixture(scope="module")
def seat(browser: Browser) -> Seat:
    return Seat(browser, timezone_id="UTC")


@pytest.mark.parametrize(
    ("name", "count", "size", "theme"),
    [
        ("desk", 3, (1440, 900), "light"),
        ("many", 60, (1440, 900), "dark"),
        ("phone", 3, (390, 844), "dark"),
    ],
)
def test_it_looks_as_it_did(
    seat: Seat, name: str, count: int, size: tuple[int, int], theme: str
) -> None:
    path = PICTURES / f"{name}.png"
    with stage(count, now=AFTERNOON) as url, seat.taken(size, theme) as there:
        there.page.goto(url)
        expect(there.page.locator(".spark polyline").first).to_be_attached()
        expect(there.page.locator(".loading")).to_have_count(0)
        picture = there.page.screenshot(animations="disabled")
        if os.environ.get("PICTURES") == "new":
            PICTURES.mkdir(exist_ok=True)
            path.write_bytes(picture)
        assert difference(there.page.context, picture, path.read_bytes()) < ALIKE
