"""What looking at the page costs the stores: it must not grow with what is kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import apsw
import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from tests.support.callers.browser import Seat
from tests.support.pools.full_pool import served

pytestmark = pytest.mark.timeout(240)
QUIET_SECONDS, PATIENCE_SECONDS = 0.5, 60
SUBSCRIPTIONS = 2
SPAN = timedelta(days=14)
SHOWN, FEW, MANY = 200, 1_000, 3_000
"""Of few already each block has some, of each kind."""
KINDS = 6
"""Of the records of a day: of each model, which have a project each, by two keys."""


class Witness:
    """Counts what SQLite does, in every store that is opened from now on."""

    def __init__(self) -> None:
        self.rows = 0
        """That statements gave."""
        self.steps = 0
        """Of SQLite's machine: it takes some to look at a row, whether it is given or not."""

    def watch(self, db: apsw.Connection) -> None:
        db.trace_v2(apsw.SQLITE_TRACE_ROW | apsw.SQLITE_TRACE_PROFILE, self._note)

    def _note(self, event: dict) -> None:  # type: ignore[type-arg]
        if event["code"] == apsw.SQLITE_TRACE_ROW:
            self.rows += 1
        else:
            self.steps += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    def rests(self) -> None:
        """Wait until the pools have looked after themselves, as they do once they are up."""
        known, until = -1, time.monotonic() + PATIENCE_SECONDS
        while known != self.steps:
            assert time.monotonic() < until
            known = self.steps
            time.sleep(QUIET_SECONDS)

    def of(self, http: httpx.Client, address: str) -> tuple[int, int]:
        """Rows and steps that a request takes; what it has read a further one may have at hand."""
        before = self.rows, self.steps
        http.get(address).raise_for_status()
        return self.rows - before[0], self.steps - before[1]


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    witness = Witness()
    apsw.connection_hooks.append(witness.watch)
    logging.disable()  # nobody is signed in here, which each subscription would say
    yield witness
    logging.disable(logging.NOTSET)
    apsw.connection_hooks.remove(witness.watch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[str]:
    """The one that the page shows."""
    with served(folder / "shown", SUBSCRIPTIONS, SHOWN, SPAN) as url:
        yield url


@pytest.fixture(scope="module")
def pools(witness: Witness, folder: Path) -> Iterator[tuple[str, str]]:
    """Two of which nothing was asked yet."""
    with (
        served(folder / "few", SUBSCRIPTIONS, FEW, SPAN) as few,
        served(folder / "many", SUBSCRIPTIONS, MANY, SPAN) as many,
    ):
        witness.rests()
        yield few, many


@contextmanager
def requests_of(page: Page, url: str) -> Iterator[list[str]]:
    """The addresses that a page asks for within the block, below one of its own."""
    found: list[str] = []

    def note(request: Request) -> None:
        found.append(request.url.removeprefix(url))

    page.on("request", note)
    try:
        yield found
    finally:
        page.remove_listener("request", note)


@pytest.fixture(scope="module")
def asked(seat: Seat, pool: str) -> list[str]:
    """The addresses that the page asks for until it has all its figures, in turn."""
    with seat.taken() as there, requests_of(there.page, pool) as found:
        there.page.goto(pool)
        expect(there.page.locator(".verdict .figures")).to_contain_text("Cost today$")
        expect(there.page.locator(".spark polyline").first).to_be_attached()
        expect(there.page.locator(".loading")).to_have_count(0)
    return [each for each in found if not each.startswith("/page/") and each != "/"]


@pytest.fixture(scope="module")
def chosen(seat: Seat, pool: str) -> list[str]:
    """The addresses that are asked for by whoever chooses what costs are shown by."""
    with seat.taken() as there:
        there.page.goto(pool)
        panel = there.page.locator(".panel.costs")
        expect(there.page.locator(".spark polyline").first).to_be_attached()
        with requests_of(there.page, pool) as found:
            for by in ("Key", "Project", "Model", "Subscription"):
                for span in ("Blocks", "30 days", "7 days"):
                    for choice in (by, span):
                        panel.locator(".choice").get_by_text(choice, exact=True).click()
                    expect(panel.locator(".loading")).to_have_count(0)
                    expect(panel.locator(".legend .total")).to_be_visible()
    return sorted({each for each in found if each.startswith("/v1/usage?")})


def test_each_part_is_asked_for_once(asked: list[str]) -> None:
    assert sorted(urlsplit(each).path for each in asked) == [
        "/v1/alerts",
        "/v1/events",
        "/v1/executions",
        "/v1/pool",
        "/v1/sessions",
        "/v1/subscriptions",
        "/v1/usage",
        "/v1/usage",
    ]
    assert len({*asked}) == len(asked)


def test_costs_are_asked_for_by_all_that_can_be_chosen(chosen: list[str]) -> None:
    found = {tuple(parse_qs(urlsplit(each).query)["group_by"]) for each in chosen}

    assert {(step, by) for step in ("block", "day") for by in ("key", "tag:project")} <= found
    assert len(chosen) >= 3 * 3 + 1


Counts = dict[str, tuple[tuple[int, int], tuple[int, int]]]
"""By address: rows and steps of the pool where few are kept, and of the one with many."""


@pytest.fixture(scope="module")
def counts(asked: list[str], chosen: list[str], pools: tuple[str, str], witness: Witness) -> Counts:
    with (
        httpx.Client(base_url=pools[0], trust_env=False) as few,
        httpx.Client(base_url=pools[1], trust_env=False) as many,
    ):
        return {
            each: (witness.of(few, each), witness.of(many, each))
            for each in dict.fromkeys([*asked, *chosen])
            if each != "/v1/events"
        }


def test_no_request_takes_more_of_the_stores_where_more_is_kept(counts: Counts) -> None:
    steps = {each: (few[1], many[1]) for each, (few, many) in counts.items()}

    assert {
        each: (few, many) for each, (few, many) in steps.items() if many > 1.5 * few + 200
    } == {}


def test_no_request_reads_many_times_the_rows_that_it_shows(counts: Counts) -> None:
    """Of a list some rows of each ledger; of sums over time a row a block and one a model in it, or
    of each day, or block, one a kind of record.
    """
    rows = {each: many[0] for each, (_, many) in counts.items()}

    assert {each: read for each, read in rows.items() if read > _most_rows(each)} == {}


def _most_rows(address: str) -> int:
    parts = urlsplit(address)
    query = parse_qs(parts.query)
    if parts.path == "/v1/usage":
        since, until = (datetime.fromisoformat(query[end][0]) for end in ("since", "until"))
        days = (until - since).days
        if "by_totals" in query:
            return SUBSCRIPTIONS * (days * 5 + 7) * (1 + 3)
        steps = days * 5 if "block" in query["group_by"] else days
        return SUBSCRIPTIONS * (steps * KINDS + 1)
    limit = int(query.get("limit", ["0"])[0])
    return 2 * limit + 4 * SUBSCRIPTIONS if parts.path == "/v1/executions" else limit + 10
