"""The page of a pool that lives, in a real browser: real stores, subscriptions, router and HTTP;
the CLI answers at once, or never. One pool for all of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from pool.claude.binary.installation import Installation
from pool.claude.process.process_runner import ProcessRunner
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import now_in_utc
from tests.support.callers.browser import Seat, Visitor
from tests.support.clis.stubcli import SLOW, stub_cli
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.pools.served_pool import served
from tests.support.suite.ports import free_port
from tests.support.values.examples import spec

pytestmark = pytest.mark.timeout(240)
OPERATOR = f"cpo_{'test-key-of-the-operator':-<43}"


@asynccontextmanager
async def stubbed_pool(folder: Path) -> AsyncIterator[LocalPool]:
    """Three subscriptions, whose stores stay in the folder."""
    cli = Installation(str(stub_cli(folder)), None).executable

    def variables(each: SubscriptionSpec) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "CLAUDE_CONFIG_DIR": str(folder / each.id)}

    pool = await local_pool_at(
        folder / "stores",
        *(spec(f"sub{number}", max_concurrent=2) for number in (1, 2, 3)),
        clock=now_in_utc,  # type: ignore[arg-type]
        runner_of=lambda each: ProcessRunner(cli, folder / each.id / "runs"),
        environment=variables,
    )
    try:
        yield pool
    finally:
        await pool.close()


class Service:
    """Serves the pool of a folder, again and again, at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._running = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        pool = stubbed_pool(self._folder)
        self._running.enter_context(served(pool, operator=OPERATOR, port=self._port))

    def stop(self) -> None:
        self._running.close()

    def client(self) -> httpx.Client:
        headers = {"x-api-key": OPERATOR}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("pool"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def there(seat: Seat, service: Service) -> Iterator[Visitor]:
    """Somebody who has opened the page and sees figures."""
    with seat.taken() as there:
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


def signed_in(there: Visitor) -> None:
    there.page.locator("form").get_by_label("Key", exact=True).fill(OPERATOR)
    there.page.get_by_role("button", name="Sign in").click()


def test_a_subscription_is_paused_and_resumed_with_a_word_on_what_that_does(
    there: Visitor, http: httpx.Client
) -> None:
    row(there, "sub3").get_by_role("link").click()
    there.page.get_by_role("button", name="Pause").click()
    dialog = there.page.locator("dialog.confirm")
    dialog.get_by_role("button", name="Pause sub3").click()
    expect(dialog.get_by_role("alert")).to_contain_text("operator.key")
    dialog.get_by_role("button", name="Use another key").click()
    signed_in(there)
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

    service.stop()
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
