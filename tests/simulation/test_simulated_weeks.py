"""A week of traffic in every shape: what the pool promises of admission and routing, seen whole."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from statistics import fmean

import pytest

from tests.support.simulation.orders import OrderName
from tests.support.simulation.traffic import MONDAY, SHAPES, Week, week_of
from tests.support.simulation.world import World, figures
from tests.support.suite.fuzz import examples

pytestmark = pytest.mark.timeout(600)  # a week is half a minute of a core; many share this one

SUBSCRIPTIONS = examples(3, 5)
OVERFLOWING_SUBSCRIPTIONS = 5
"""Of fewer none refuses while another has room, whatever they are told of their ceilings."""
NAMES = tuple(SHAPES)
ALL_AT_ONCE = {"bursts of 200", "greedy caller"}
"""Whole crowds arrive in an instant: every order fills all free slots then, and they differ
little over so few subscriptions. Over fewer than ten a crowd is more than there is."""
CROWDED_SUBSCRIPTIONS = 10
CROWDS = examples(1, 3) / 3
"""Which share of a week's crowds comes."""
MORE_THAN_THERE_IS = {"too much"}
"""Every subscription is used up to its ceiling under any order; at the end they differ little."""
SPREADS = tuple(name for name in NAMES if name not in ALL_AT_ONCE | MORE_THAN_THERE_IS)
COMPARED = SPREADS[:: examples(len(SPREADS), 1)]
"""What is lived under other orders, too: each is two further weeks, of a second of a core."""


@cache
def lived(
    name: str, order: OrderName = OrderName.HEALTHIEST, subscriptions: int | None = None
) -> World:
    """A week that was simulated once, for every test that looks at it."""
    return World(week(name, subscriptions), order).run()


def week(name: str, subscriptions: int | None = None) -> Week:
    is_crowded = name in ALL_AT_ONCE
    usual = OVERFLOWING_SUBSCRIPTIONS if name == "overflow" else SUBSCRIPTIONS
    subscriptions = subscriptions or (CROWDED_SUBSCRIPTIONS if is_crowded else usual)
    return week_of(SHAPES[name], subscriptions, seed=1, share=CROWDS if is_crowded else 1)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_refused_while_some_subscription_has_headroom(name: str) -> None:
    assert lived(name).book.wrongly_refused == []


@pytest.mark.parametrize("name", NAMES)
def test_no_subscription_is_given_more_than_it_can_take(name: str) -> None:
    assert lived(name).wrongs == []


@pytest.mark.parametrize("name", NAMES)
def test_every_request_ends_exactly_once(name: str) -> None:
    world = lived(name)

    wanted = sum(1 + len(each.turns) for each in world.week.requests)
    assert len(world.book.entries) == wanted
    assert world.book.count(None) == 0
    assert world.book.ended_twice == []


@pytest.mark.parametrize("name", NAMES)
def test_what_was_answered_is_what_the_subscriptions_were_charged(name: str) -> None:
    world = lived(name)

    owners = world.owners.values()
    charged = sum(owner.account.used_by_pool for owner in owners)
    recorded = sum(owner.state.totals.usage.cost_nano_usd for owner in owners)
    assert world.book.answered_nano_usd == charged == recorded


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_held_when_the_week_is_over(name: str) -> None:
    for owner in lived(name).owners.values():
        slots = owner.state.slots
        assert (slots.running, slots.waiting, slots.reserved_nano_usd) == ({}, {}, 0)


@pytest.mark.hypothesis  # all of them in ``make fuzz``
@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("other", [OrderName.ROUND_ROBIN, OrderName.STICK])
def test_the_healthiest_first_uses_the_plans_more_evenly(name: str, other: OrderName) -> None:
    own, theirs = figures(lived(name)), figures(lived(name, other))

    assert own.mean.deviation < theirs.mean.deviation
    assert own.mean.range < theirs.mean.range


@pytest.mark.parametrize(
    "name", [each for each in NAMES if each not in MORE_THAN_THERE_IS | {"overflow"}]
)
def test_what_fits_into_the_plans_is_answered(name: str) -> None:
    assert figures(lived(name)).answered > 0.9


@pytest.mark.parametrize("name", ["too much"])
def test_demand_beyond_the_plans_is_refused_by_the_ceilings_alone(name: str) -> None:
    found = figures(lived(name))

    assert found.refused > 0
    assert set(found.cautious) <= {"limited"}


@pytest.mark.parametrize("name", ["outages"])
def test_a_failing_third_of_the_subscriptions_is_not_felt_by_callers(name: str) -> None:
    found = figures(lived(name))

    assert found.answered == 1
    assert found.attempts > 1


@pytest.mark.parametrize("name", ["signed out"])
def test_no_request_is_tried_on_a_subscription_in_the_day_it_is_signed_out(name: str) -> None:
    world = lived(name)

    [subscription] = [each for each in world.week.subscriptions if each.account.signed_out]
    [span] = subscription.account.signed_out
    tried = [
        entry
        for entry in world.book.entries.values()
        if subscription.id in entry.subscriptions and span.holds(entry.asked_at)
    ]
    assert len(tried) <= 2  # one found it out; of what had come before, one may have followed


@pytest.mark.parametrize("name", ["overflow"])
def test_subscriptions_of_a_later_tier_serve_only_what_the_earlier_cannot(name: str) -> None:
    calm, full = lived(name), World(week(name))

    last = max(calm.owners)
    used = calm.owners[last].account.used_by_pool
    first_used = min(
        (entry.asked_at for entry in calm.book.entries.values() if last in entry.subscriptions),
        default=MONDAY,
    )
    assert full.owners[last].subscription.tier == 2
    assert used > 0
    assert first_used > MONDAY + timedelta(hours=12)


@pytest.mark.parametrize("name", ["greedy caller"])
def test_one_greedy_caller_does_not_starve_the_others(name: str) -> None:
    book = lived(name).book

    waits: dict[bool, list[float]] = {True: [], False: []}
    for entry in book.entries.values():
        waits[entry.caller == "greedy"].append(entry.waited_seconds)
    assert fmean(waits[False]) < 0.6 * fmean(waits[True])


@pytest.mark.parametrize("name", ["bursts of 200"])
def test_a_burst_spreads_at_once_over_all_free_slots(name: str) -> None:
    world = lived(name)

    slots = sum(owner.state.spec.max_concurrent for owner in world.owners.values())
    first = min(entry.asked_at for entry in world.book.entries.values())
    began = [
        entry
        for entry in world.book.entries.values()
        if entry.asked_at == first and entry.started_at is not None and entry.waited_seconds < 1
    ]
    assert len(began) == slots
    assert world.book.surprises == 0


@pytest.mark.parametrize("name", ["long sessions"])
def test_sessions_stay_at_home_as_a_rule(name: str) -> None:
    world = lived(name)

    turns = len(world.book.entries)
    assert 0 < world.book.moves < turns / 50


@pytest.mark.parametrize("name", ["long agents"])
def test_a_week_is_the_same_for_the_same_seed(name: str) -> None:
    again = World(week(name)).run()

    assert figures(again) == figures(lived(name))


@pytest.mark.hypothesis  # a hundred in ``make fuzz``: what they cost grows with their square
@pytest.mark.parametrize("subscriptions", [examples(12, 100)])
def test_many_more_subscriptions_keep_the_same_promises(subscriptions: int) -> None:
    world = lived("long agents", subscriptions=subscriptions)

    assert (world.book.wrongly_refused, world.wrongs) == ([], [])
    assert figures(world).answered > 0.99
