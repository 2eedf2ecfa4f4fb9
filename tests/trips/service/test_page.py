"""The page of a real service in a real browser: Ray, the real CLI, events over HTTP. What else the
page does is asked in ``tests/page``, where its pool lives without Ray.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.callers.browser import Seat, browsing
from tests.support.services.shared_pool import DECLARED_KEY, SharedPool

pytestmark = pytest.mark.timeout(240)


def test_the_page_shows_what_a_service_runs_as_it_happens(shared: SharedPool) -> None:
    with browsing() as browser, Seat(browser).taken() as there, shared.service.client() as http:
        there.page.goto(shared.service.url)
        there.page.locator("form").get_by_label("Key", exact=True).fill(DECLARED_KEY)
        there.page.get_by_role("button", name="Sign in").click()
        for number in range(1, shared.subscriptions + 1):
            row = there.page.locator("table.subscriptions tbody tr").filter(has_text=f"sub{number}")
            expect(row).to_contain_text("Available")
        there.page.evaluate("window.stays = true")

        execution = http.post("/v1/executions", json={"prompt": "hello"}).json()

        listed = there.page.locator("table.executions tbody tr").filter(
            has=there.page.locator(f"[aria-label$='{execution['id']}']")
        )
        expect(listed).to_contain_text("Succeeded")
        listed.get_by_role("link").click()
        drawer = there.page.locator("dialog.drawer")
        expect(drawer.locator("pre")).to_have_text(execution["result"])
        assert there.page.evaluate("window.stays")
