"""The page as people see it: any number of subscriptions, light and dark, wide and narrow, with a
keyboard, with a key and without. The pools behind it are staged.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from api.web.authentication import Keys
from pool.config import ApiKeySpec
from tests.support.callers.browser import Seat, Visitor
from tests.support.pools.staged_pool import MARKUP, stage

READER = "test-key-that-reads"
OPERATOR = "test-key-that-administers"
RUNNER = "test-key-that-only-runs"
VIEWPORTS = {"desk": (1440, 900), "tablet": (1024, 768), "phone": (390, 844)}


@pytest.fixture(scope="module")
def keyed() -> Iterator[str]:
    specs = [
        ApiKeySpec(name="reader", key_env="READER", scopes=("read",)),
        ApiKeySpec(name="runner", key_env="RUNNER", scopes=("execute",)),
        ApiKeySpec(name="operator", key_env="OPERATOR", scopes=("execute", "read", "admin")),
    ]
    keys = Keys.read(specs, {"READER": READER, "RUNNER": RUNNER, "OPERATOR": OPERATOR})
    with stage(3, keys=keys) as url:
        yield url


def settled(there: Visitor) -> None:
    """Wait until nothing is to come any more."""
    expect(there.page.locator(".headline, .empty").first).to_be_visible()
    expect(there.page.locator(".loading")).to_have_count(0)


@pytest.mark.parametrize(
    ("count", "looks"),
    [
        (3, [("desk", "light"), ("tablet", "dark"), ("phone", "light")]),
        (60, [("desk", "dark"), ("tablet", "light"), ("phone", "dark")]),
    ],
)
def test_it_can_be_read_by_everybody(
    seat: Seat, stages: dict[int, str], count: int, looks: list[tuple[str, str]]
) -> None:
    """Somebody makes the window smaller, and has the other theme by then."""
    with seat.taken() as there:
        there.page.goto(stages[count])
        for size, theme in looks:
            there.sees(VIEWPORTS[size], theme)
            settled(there)

            assert there.accessibility() == [], (size, theme)
            assert not there.scrolls_sideways, (size, theme)
        assert there.complaints == []


@pytest.mark.parametrize("place", ["subscription=cleo", f"execution=exec_{4:012x}{4:016x}"])
def test_details_can_be_read_by_everybody(seat: Seat, stages: dict[int, str], place: str) -> None:
    with seat.taken(color_scheme="dark") as there:
        there.page.goto(f"{stages[3]}/#{place}")
        settled(there)
        expect(there.page.locator("dialog.drawer .body > *").nth(2)).to_be_visible()

        assert there.accessibility() == []
        there.page.keyboard.press("Escape")
        expect(there.page.locator("dialog")).to_have_count(0)
        assert "#" not in there.page.url


def test_an_empty_pool_says_what_to_do_next(seat: Seat, stages: dict[int, str]) -> None:
    with seat.taken() as there:
        there.page.goto(stages[0])

        expect(there.page.get_by_role("heading", level=2).first).to_contain_text("no subscription")
        expect(there.page.locator("pre")).to_contain_text("[[subscriptions]]")
        assert there.accessibility() == []
        assert there.complaints == []


def test_ten_seconds_are_enough(seat: Seat, stages: dict[int, str]) -> None:
    """Who runs dry first, when, and what the pool costs today: on the first screen."""
    with seat.taken() as there:
        there.page.goto(stages[60])
        settled(there)

        expect(there.page.locator(".verdict .first")).to_contain_text("runs dry first, in")
        expect(there.page.locator(".verdict .figures")).to_contain_text("Cost today$")
        below = there.page.locator(".verdict").bounding_box()
        assert below is not None
        assert below["y"] + below["height"] < 900


def test_markup_is_text_wherever_it_comes_from(seat: Seat, stages: dict[int, str]) -> None:
    with seat.taken() as there:
        there.page.goto(f"{stages[3]}/#execution=exec_{5:012x}{5:016x}")
        settled(there)
        expect(there.page.locator("dialog.drawer .error")).to_contain_text(MARKUP)
        expect(there.page.locator("dialog.drawer .facts")).to_contain_text(MARKUP)
        expect(there.page.locator("table.executions").get_by_text(MARKUP).first).to_be_attached()

        assert there.page.title() == "Claude pool"
        assert there.page.locator("main img, dialog img").count() == 0


def test_everything_can_be_reached_by_keyboard(seat: Seat, stages: dict[int, str]) -> None:
    with seat.taken() as there:
        there.page.goto(stages[3])
        settled(there)
        there.page.keyboard.press("Tab")
        assert there.page.evaluate("document.activeElement.className") == "skip"
        there.page.locator("table.subscriptions a").first.focus()
        there.page.keyboard.press("Enter")
        drawer = there.page.locator("dialog.drawer")
        expect(drawer).to_be_visible()
        for _ in range(12):
            there.page.keyboard.press("Tab")
            inside = "!document.activeElement.closest('main')"
            assert there.page.evaluate(inside), "the focus stays in the dialog"


def test_many_are_shown_most_urgent_first_and_found_by_name(
    seat: Seat, stages: dict[int, str]
) -> None:
    with seat.taken() as there:
        there.page.goto(stages[60])
        settled(there)
        rows = there.page.locator("table.subscriptions tbody tr")
        expect(rows).to_have_count(12)
        expect(rows.first).to_contain_text("Needs login")

        there.page.get_by_role("button", name="Show all 60").click()
        expect(rows).to_have_count(60)
        there.page.get_by_placeholder("Filter by name or state").fill("paused")
        expect(rows).to_have_count(6)


def test_who_sleeps_and_who_is_where_can_be_looked_for(seat: Seat, stages: dict[int, str]) -> None:
    with seat.taken() as there:
        there.page.goto(stages[60])
        settled(there)
        rows = there.page.locator("table.subscriptions tbody tr")
        look_for = there.page.get_by_placeholder("Filter by name or state")
        look_for.fill("asleep")
        expect(rows.first).to_contain_text("asleep · on ")
        look_for.fill("borea")
        expect(rows).to_have_count(30)
        rows.first.get_by_role("link").click()
        expect(there.page.locator("dialog.drawer .facts")).to_contain_text("Nodeborea")


def test_what_waits_for_its_caller_says_for_what_and_how_long_and_can_be_cancelled(
    seat: Seat, stages: dict[int, str]
) -> None:
    with seat.taken() as there:
        there.page.goto(stages[3])
        settled(there)
        there.page.get_by_label("Status").select_option("waiting_for_caller")
        rows = there.page.locator("table.executions tbody tr")
        expect(rows).to_have_count(1)
        rows.get_by_role("link", name="Waits for caller").click()
        drawer = there.page.locator("dialog.drawer")
        expect(drawer).to_contain_text('get_weather {"city":"Rome"}')
        expect(drawer).to_contain_text("It ends at 13:50 if nothing comes.")
        expect(drawer.get_by_role("button", name="Cancel it")).to_be_visible()
        waits = there.page.locator("table.subscriptions tbody tr").filter(has_text="ben")
        expect(waits).to_contain_text("1 with caller")


def test_executions_are_filtered_and_earlier_ones_asked_for(
    seat: Seat, stages: dict[int, str]
) -> None:
    with seat.taken() as there:
        there.page.goto(stages[3])
        settled(there)
        rows = there.page.locator("table.executions tbody tr")
        expect(rows).to_have_count(20)
        there.page.get_by_role("button", name="Show earlier ones").click()
        expect(rows).to_have_count(40)
        there.page.get_by_label("Status").select_option("failed")
        expect(rows).to_have_count(5)


@pytest.mark.parametrize("keep", [False, True])
def test_a_key_opens_the_page_and_is_kept_no_longer_than_asked_for(
    seat: Seat, keyed: str, keep: bool
) -> None:
    with seat.taken() as there:
        there.page.goto(keyed)
        there.page.locator("form").get_by_label("Key", exact=True).fill(
            "test-key-that-opens-nothing"
        )
        there.page.get_by_role("button", name="Sign in").click()
        expect(there.page.get_by_role("alert")).to_contain_text("does not open")
        assert there.accessibility() == []
        there.page.locator("form").get_by_label("Key", exact=True).fill(OPERATOR)
        there.page.get_by_label("Keep it").set_checked(keep)
        there.page.get_by_role("button", name="Sign in").click()
        settled(there)
        expect(there.page.get_by_role("heading", name="Keys")).to_be_visible()

        kept = there.page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
        assert OPERATOR not in kept + there.page.url
        there.page.reload()
        expect(there.page.locator(".headline" if keep else ".sign-in")).to_be_visible()
        if keep:
            there.page.get_by_role("button", name="Sign out").click()
            expect(there.page.locator(".sign-in")).to_be_visible()
            assert there.page.evaluate("sessionStorage.length") == 0


def test_whoever_signs_in_waits_for_no_answer_to_what_was_asked_without_a_key(
    seat: Seat, keyed: str
) -> None:
    with seat.taken() as there:
        unanswered: list[Route] = []
        there.page.route(
            lambda url: "/v1/usage?" in url,
            lambda route: (
                route.continue_()
                if "authorization" in route.request.headers
                else unanswered.append(route)
            ),
        )
        with there.page.expect_request(lambda asked: "by=subscription" in asked.url):
            there.page.goto(keyed)
        there.page.locator("form").get_by_label("Key", exact=True).fill(OPERATOR)
        there.page.get_by_role("button", name="Sign in").click()
        settled(there)
        assert unanswered


def test_a_key_that_only_reads_sees_no_keys_and_is_told_what_it_lacks(
    seat: Seat, keyed: str
) -> None:
    with seat.taken() as there:
        there.page.goto(keyed)
        there.page.locator("form").get_by_label("Key", exact=True).fill(READER)
        there.page.get_by_role("button", name="Sign in").click()
        settled(there)
        expect(there.page.get_by_role("heading", name="Keys")).to_have_count(0)

        there.page.locator("table.subscriptions a").last.click()
        there.page.get_by_role("button", name="Pause").click()
        there.page.locator("dialog.confirm").get_by_role("button").last.click()
        expect(there.page.get_by_role("alert")).to_contain_text("'admin'")
        expect(there.page.get_by_role("button", name="Use another key")).to_be_visible()


def test_a_key_that_may_not_see_the_pool_sees_what_is_its_own(seat: Seat, keyed: str) -> None:
    with seat.taken() as there:
        there.page.goto(keyed)
        there.page.locator("form").get_by_label("Key", exact=True).fill(RUNNER)
        there.page.get_by_role("button", name="Sign in").click()

        expect(there.page.get_by_role("region", name="Your usage")).to_be_visible()
        expect(there.page.get_by_role("heading", name="Executions")).to_be_visible()
        for hidden in ("Windows", "Subscriptions", "Keys", "Latency"):
            expect(there.page.get_by_role("heading", name=hidden, exact=True)).to_have_count(0)
        assert there.accessibility() == []
