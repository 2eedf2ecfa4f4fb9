"""The page of a real pool: real Ray, the real service, a real browser; the CLI answers at once, or
never. One service for all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from behaviours import SLOW
from browser import Visitor, visitor
from playwright.sync_api import Browser, Locator, expect
from service import Service, write_config
from stubcli import stub_cli

pytestmark = pytest.mark.timeout(240)
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("pool")
    cli = f'path = "{stub_cli(folder)}"\n'
    service = Service(write_config(folder, NOBODY, more=cli, drain_seconds=0))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def there(browser: Browser, service: Service) -> Iterator[Visitor]:
    """Somebody who has opened the page and sees figures."""
    with visitor(browser) as there:
        there.page.goto(service.url)
        expect(there.page.locator(".verdict .headline")).to_be_visible()
        expect(row(there, "sub1")).to_be_visible()
        yield there


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as http:
        yield http


def row(there: Visitor, subscription: str) -> Locator:
    return there.page.locator("table.subscriptions tbody tr").filter(has_text=subscription)


def executions(there: Visitor) -> Locator:
    return there.page.locator("table.executions tbody tr")


def asked(http: httpx.Client, prompt: str = "hello", **more: Any) -> dict[str, Any]:
    answer = http.post("/v1/executions", json={"prompt": prompt, **more})
    answer.raise_for_status()
    execution: dict[str, Any] = answer.json()
    return execution


def confirm(there: Visitor, says: str | re.Pattern[str]) -> None:
    dialog = there.page.locator("dialog.confirm")
    expect(dialog).to_contain_text(says)
    dialog.get_by_role("button").last.click()
    expect(dialog).to_have_count(0)


def test_an_execution_appears_without_a_reload_and_tells_why_it_went_there(
    there: Visitor, http: httpx.Client
) -> None:
    there.page.evaluate("window.stays = true")
    execution = asked(http, metadata={"project": "<b>billing</b>"})

    listed = executions(there).filter(has=there.page.locator(f"[aria-label$='{execution['id']}']"))
    expect(listed).to_contain_text("Succeeded")
    listed.get_by_role("link").click()
    drawer = there.page.locator("dialog.drawer")
    expect(drawer).to_contain_text("can take it")
    expect(drawer).to_contain_text("<b>billing</b>")
    expect(drawer.locator("pre")).to_have_text("answer")
    there.page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)

    assert there.page.evaluate("window.stays")
    assert there.complaints == []


def test_a_bar_moves_when_something_was_spent(there: Visitor, http: httpx.Client) -> None:
    week = row(there, "sub2").locator("td[data-label='Week'] .share")
    before = week.inner_text()

    spent = {"id": "elsewhere", "models": {"claude-sonnet-4-5": {"cost_usd": 114}}}
    http.post("/v1/subscriptions/sub2/usage", json=spent).raise_for_status()

    expect(week).to_have_text("25%")
    expect(row(there, "sub2").locator("td[data-label='Week'] .fill")).to_have_attribute(
        "style", re.compile(r"width: 25")
    )
    expect(there.page.locator(".verdict")).to_contain_text("$114")
    assert before in {"0%", "<1%"}


def signed_in(there: Visitor, service: Service) -> None:
    there.page.locator("form").get_by_label("Key", exact=True).fill(service.operator["x-api-key"])
    there.page.get_by_role("button", name="Sign in").click()


def test_a_subscription_is_paused_and_resumed_with_a_word_on_what_that_does(
    there: Visitor, http: httpx.Client, service: Service
) -> None:
    row(there, "sub3").get_by_role("link").click()
    there.page.get_by_role("button", name="Pause").click()
    dialog = there.page.locator("dialog.confirm")
    dialog.get_by_role("button", name="Pause sub3").click()
    expect(dialog.get_by_role("alert")).to_contain_text("operator.key")
    dialog.get_by_role("button", name="Use another key").click()
    signed_in(there, service)
    there.complaints.clear()  # the browser's, of the refusal

    there.page.get_by_role("button", name="Pause").click()
    confirm(there, "takes no new work")

    expect(row(there, "sub3")).to_contain_text("Paused")
    assert http.get("/v1/subscriptions/sub3").json()["state"] == "paused"

    there.page.get_by_role("button", name="Resume").click()
    confirm(there, "takes new work")
    expect(row(there, "sub3")).to_contain_text("Available")
    assert there.complaints == []


def test_what_runs_is_cancelled_from_the_page(there: Visitor, http: httpx.Client) -> None:
    execution = asked(http, SLOW, background=True)
    there.page.goto(f"{there.page.url}#execution={execution['id']}")
    drawer = there.page.locator("dialog.drawer")
    expect(drawer).to_contain_text("Running")

    drawer.get_by_role("button", name="Cancel it").click()
    confirm(there, "is stopped")

    expect(drawer).to_contain_text("Cancelled")
    assert http.get(f"/v1/executions/{execution['id']}").json()["status"] == "cancelled"


def test_a_restart_of_the_service_is_said_and_survived(
    there: Visitor, http: httpx.Client, service: Service
) -> None:
    there.page.evaluate("window.stays = true")

    service.kill()
    expect(there.page.get_by_role("status").first).to_contain_text("does not answer")
    expect(row(there, "sub1")).to_contain_text("Available")  # what was known stays

    service.start()
    expect(there.page.get_by_text("The pool is back.")).to_be_visible(timeout=30_000)
    execution = asked(http)
    link = there.page.locator(f"[aria-label$='{execution['id']}']")
    expect(link).to_contain_text("Succeeded")
    assert there.page.evaluate("window.stays"), "nobody had to reload"
    unexpected = [each for each in there.complaints if "Failed to load resource" not in each]
    assert [each for each in unexpected if "ERR_" not in each] == []
