"""The pictures of the page that the README shows: made here, and compared with what they were.

`PICTURES=new` has them made anew, after a change that was looked at.
"""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import expect

from tests.support.callers.browser import Seat, difference
from tests.support.suite.paths import ROOT

PICTURES = ROOT / "deploy" / "pictures"
ALIKE = 0.03
"""Of 1. A panel that is missing makes some 0.1, another Chromium 0.002."""


@pytest.mark.parametrize(
    ("name", "count", "size", "theme"),
    [
        ("desk", 3, (1440, 900), "light"),
        ("many", 60, (1440, 900), "dark"),
        ("phone", 3, (390, 844), "dark"),
    ],
)
def test_it_looks_as_it_did(
    seat: Seat,
    stages: dict[int, str],
    name: str,
    count: int,
    size: tuple[int, int],
    theme: str,
) -> None:
    path = PICTURES / f"{name}.png"
    with seat.taken(size, theme) as there:
        there.page.goto(stages[count])
        expect(there.page.locator(".spark polyline").first).to_be_attached()
        expect(there.page.locator(".loading")).to_have_count(0)
        picture = there.page.screenshot(animations="disabled")
        if os.environ.get("PICTURES") == "new":
            PICTURES.mkdir(exist_ok=True)
            path.write_bytes(picture)
        assert difference(there.page, picture, path.read_bytes()) < ALIKE
