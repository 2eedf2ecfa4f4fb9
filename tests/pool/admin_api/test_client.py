from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.demo.standin.bill import Usage
from pool.admin_api.client import AdminApi
from pool.admin_api.pace import Pace
from pool.admin_api.problems import Unusable
from pool.admin_api.reports import UNNAMED, cost_buckets, people, usage_buckets
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.usage.records import ModelUsage
from tests.support.admin_api.admin_standin import AdminStandin, Fault, Harm
from tests.support.admin_api.adminapi import (
    ACCOUNT,
    KEY,
    Sleeper,
    admin_standin,
    billed,
    client_of,
    http_of,
)
from tests.support.values.examples import NOON, SONNET
from tests.support.values.manual_clock import ManualClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0)
DATED = f"{SONNET}-20250929"


@pytest.fixture
def mind(clock: ManualClock) -> AdminStandin:
    return admin_standin(clock)


@pytest.fixture
def sleeper(clock: ManualClock) -> Sleeper:
    return Sleeper(clock)


@pytest.fixture
def api(mind: AdminStandin, sleeper: Sleeper) -> AdminApi:
    return client_of(mind, sleeper)


def a_usage(tokens: int = 100) -> Usage:
    return Usage(
        input_tokens=tokens,
        output_tokens=20,
        cache_creation_5m_input_tokens=3,
        cache_creation_1h_input_tokens=4,
        cache_read_input_tokens=5,
    )


async def test_tokens_come_by_hour_and_model(api: AdminApi, mind: AdminStandin) -> None:
    billed(mind.bill, NOON, usage=a_usage())
    billed(mind.bill, NOON + HOUR / 2, usage=a_usage())
    billed(mind.bill, NOON + HOUR, usage=a_usage(7))

    found = await api.usage(NOON, NOON + 3 * HOUR)

    assert not isinstance(found, ReportProblem)
    assert [each.starts_at for each in found] == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert found[0].models == {
        DATED: ModelUsage(
            input_tokens=200,
            output_tokens=40,
            cache_creation_input_tokens=14,
            cache_read_input_tokens=10,
        )
    }
    assert found[1].models[DATED].input_tokens == 7
    assert found[2].models == {}


async def test_arrays_are_bracketed_and_filters_reach_the_report(
    api: AdminApi, mind: AdminStandin
) -> None:
    mind.api_key(KEY, "apikey_1", "wrkspc_1")
    mind.api_key("other", "apikey_2", "wrkspc_2")
    billed(mind.bill, NOON)
    billed(mind.bill, NOON, token="other", usage=a_usage())

    found = await api.usage(
        NOON, NOON + HOUR, api_key_ids=("apikey_1", "apikey_9"), workspace_ids=("wrkspc_1",)
    )

    assert not isinstance(found, ReportProblem)
    assert found[0].models == {DATED: ModelUsage(input_tokens=100, output_tokens=20)}
    assert ("api_key_ids[]", "apikey_9") in mind.asked[0].params
    assert ("group_by[]", "model") in mind.asked[0].params
    assert ("starting_at", "2026-01-28T12:00:00.000Z") in mind.asked[0].params


async def test_pages_are_followed_to_the_end(api: AdminApi, mind: AdminStandin) -> None:
    mind.page_size = 2
    billed(mind.bill, NOON + 4 * HOUR)

    found = await api.usage(NOON, NOON + 5 * HOUR)

    assert not isinstance(found, ReportProblem)
    assert len(found) == 5
    assert found[4].models[DATED].input_tokens == 100
    assert [each.page for each in mind.asked] == [None, "page_2", "page_4"]


async def test_decimal_cents_become_exact_nano_dollars(api: AdminApi, mind: AdminStandin) -> None:
    mind.api_key(KEY, "apikey_1", "wrkspc_1")
    line = billed(mind.bill, NOON, usage=a_usage())

    found = await api.costs(MIDNIGHT, MIDNIGHT + DAY)

    assert not isinstance(found, ReportProblem)
    (row,) = found[0].rows
    assert (row.workspace_id, row.subject) == ("wrkspc_1", DATED)
    assert row.cost_nano_usd == line.cost_nano_usd


async def test_people_come_with_their_models(api: AdminApi, mind: AdminStandin) -> None:
    mind.person(ACCOUNT, "User1@Example.com")
    billed(mind.bill, NOON, token=ACCOUNT)
    billed(mind.bill, NOON)

    found = await api.claude_code(NOON.date())

    assert not isinstance(found, ReportProblem)
    (row,) = found
    assert (row.email, row.model) == ("user1@example.com", DATED)
    assert row.usage == ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=600_000)


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ProblemKind.UNAUTHORIZED),
        (403, ProblemKind.FORBIDDEN),
        (404, ProblemKind.NOT_FOUND),
        (400, ProblemKind.REFUSED),
    ],
)
async def test_what_does_not_pass_is_told_at_once(
    api: AdminApi, mind: AdminStandin, sleeper: Sleeper, status: int, kind: ProblemKind
) -> None:
    mind.next(Fault(status=status))

    found = await api.usage(NOON, NOON + HOUR)

    assert isinstance(found, ReportProblem)
    assert found.kind is kind
    assert len(mind.asked) == 1
    assert sleeper.slept == []


@pytest.mark.parametrize(
    ("status", "kind"), [(429, ProblemKind.RATE_LIMITED), (529, ProblemKind.SERVER_ERROR)]
)
async def test_what_stays_busy_is_given_up_after_four_tries(
    api: AdminApi, mind: AdminStandin, status: int, kind: ProblemKind
) -> None:
    mind.next(*[Fault(status=status)] * 10)

    found = await api.usage(NOON, NOON + HOUR)

    assert isinstance(found, ReportProblem)
    assert found.kind is kind
    assert len(mind.asked) == 4


async def test_pauses_grow_and_are_jittered(
    api: AdminApi, mind: AdminStandin, sleeper: Sleeper
) -> None:
    mind.next(*[Fault(status=500)] * 3)

    assert not isinstance(await api.usage(NOON, NOON + HOUR), ReportProblem)

    first, second, third = sleeper.slept
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4


@pytest.mark.parametrize(
    ("retry_after", "waited"), [("7", 7.0), ("Wed, 28 Jan 2026 12:00:09 GMT", 9.0), (None, 60.0)]
)
async def test_retry_after_is_obeyed(
    api: AdminApi, mind: AdminStandin, sleeper: Sleeper, retry_after: str | None, waited: float
) -> None:
    mind.next(Fault(status=429, retry_after=retry_after))

    assert not isinstance(await api.usage(NOON, NOON + HOUR), ReportProblem)

    assert sleeper.slept == [waited]


async def test_a_long_retry_after_is_left_to_the_next_poll(
    api: AdminApi, mind: AdminStandin, sleeper: Sleeper
) -> None:
    mind.next(Fault(status=429, retry_after="3600"))

    found = await api.usage(NOON, NOON + HOUR)

    assert isinstance(found, ReportProblem)
    assert (len(mind.asked), sleeper.slept) == (1, [])


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        ("cut", ProblemKind.TRUNCATED),
        ("no_next", ProblemKind.TRUNCATED),
        ("same_page", ProblemKind.REPEATED_PAGE),
        ("bad_count", ProblemKind.MALFORMED),
        ("skewed", ProblemKind.CLOCK_SKEW),
    ],
)
async def test_a_page_that_came_to_harm_spoils_the_report(
    api: AdminApi, mind: AdminStandin, harm: Harm, kind: ProblemKind
) -> None:
    billed(mind.bill, NOON)
    mind.next(*[Fault(harm=harm)] * 3)

    found = await api.usage(NOON, NOON + HOUR)

    assert isinstance(found, ReportProblem)
    assert found.kind is kind


async def test_an_amount_that_is_no_number_spoils_the_report(
    api: AdminApi, mind: AdminStandin
) -> None:
    billed(mind.bill, NOON)
    mind.next(Fault(harm="bad_amount"))

    found = await api.costs(MIDNIGHT, MIDNIGHT + DAY)

    assert isinstance(found, ReportProblem)
    assert found.kind is ProblemKind.MALFORMED


async def test_a_server_that_is_away_is_told(sleeper: Sleeper) -> None:
    http = httpx.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False)

    found = await client_of(admin_standin(sleeper.clock), sleeper, http=http).costs(
        MIDNIGHT, MIDNIGHT + DAY
    )

    assert isinstance(found, ReportProblem)
    assert found.kind is ProblemKind.UNREACHABLE


async def test_a_body_without_end_is_cut_off(sleeper: Sleeper) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1_000_000

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))
    http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    found = await client_of(admin_standin(sleeper.clock), sleeper, http=http).usage(
        NOON, NOON + HOUR
    )

    assert isinstance(found, ReportProblem)
    assert found.kind is ProblemKind.TOO_LARGE


async def test_the_key_goes_into_one_header_and_nowhere_else(
    mind: AdminStandin, sleeper: Sleeper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = "sk-ant-admin01-very-secret"
    mind.next(Fault(status=500), Fault(status=200, harm="cut"))
    api = client_of(mind, sleeper, key=key)

    found = await api.usage(NOON, NOON + HOUR)

    assert isinstance(found, ReportProblem)
    assert found.kind is ProblemKind.UNAUTHORIZED
    assert "very-secret" not in caplog.text + repr(found) + repr(api) + repr(mind.asked)


# -- reading -------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *("starting_at", "results", "uncached_input_tokens", "output_tokens", "cache_creation"),
        *("model", "amount", "currency", "workspace_id", "actor", "email_address"),
        *("model_breakdown", "tokens", "input", "output", "estimated_cost", "cost_type"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=3))
def test_whatever_is_sent_is_read_or_refused(data: list[Any]) -> None:
    for read in (usage_buckets, cost_buckets, people):
        with suppress(Unusable):
            read(data)


def test_what_is_new_in_a_report_is_passed_over() -> None:
    bucket = {
        "starting_at": "2026-01-28T12:00:00Z",
        "colour": "red",
        "results": [{"uncached_input_tokens": 1, "output_tokens": 2, "model": None, "new": []}],
    }

    (found,) = usage_buckets([bucket])

    assert found.models == {UNNAMED: ModelUsage(input_tokens=1, output_tokens=2)}


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e99", "", "1,5", None, True, {}])
def test_an_amount_is_a_finite_number(amount: Any) -> None:
    bucket = {"starting_at": "2026-01-28T00:00:00Z", "results": [{"amount": amount}]}

    with pytest.raises(Unusable):
        cost_buckets([json.loads(json.dumps(bucket))])


def test_the_documented_amount_is_read() -> None:
    bucket = {
        "starting_at": "2026-01-28T00:00:00Z",
        "results": [{"amount": "123.45", "currency": "USD", "cost_type": "web_search"}],
    }

    (found,) = cost_buckets([bucket])

    assert (found.rows[0].subject, found.rows[0].cost_nano_usd) == ("(web_search)", 1_234_500_000)


# -- pace ----------------------------------------------------------------------------------------


class Notes:
    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def polled_at(self, key_name: str) -> Any:
        return self.kept.get(key_name)

    async def note_poll(self, key_name: str, at: Any) -> None:
        self.kept[key_name] = at


async def test_a_key_polls_once_a_minute_at_most(clock: ManualClock, sleeper: Sleeper) -> None:
    notes = Notes()
    pace = Pace(notes, clock, sleeper)

    await pace.turn("A")
    clock.advance(timedelta(seconds=20))
    await pace.turn("A")
    await Pace(notes, clock, sleeper).turn("A")  # the next life
    await pace.turn("B")

    assert sleeper.slept == [40.0, 60.0]


async def test_a_clock_that_is_set_back_holds_nobody_up_for_long(
    clock: ManualClock, sleeper: Sleeper
) -> None:
    pace = Pace(Notes(), clock, sleeper)
    await pace.turn("A")
    clock.advance(-timedelta(days=1))

    await pace.turn("A")

    assert sleeper.slept == [60.0]


async def test_pages_and_retries_belong_to_one_poll(mind: AdminStandin, sleeper: Sleeper) -> None:
    turns = []

    async def turn() -> None:
        turns.append(1)

    mind.page_size = 1
    mind.next(Fault(status=500))
    api = client_of(mind, sleeper, turn=turn, http=http_of(mind))

    await api.usage(NOON, NOON + 3 * HOUR)

    assert (len(turns), len(mind.asked)) == (1, 4)
