from __future__ import annotations

import pytest

from api.cli.top.snapshot import Snapshot, by_urgency, live_first
from api.cli.top.view import Focus, Key, Order, Quit, View, pressed
from pool.subscriptions.overview.pool_overview import overview
from pool.subscriptions.report import SubscriptionState
from tests.support.pools.staged_pool import StagedPool
from tests.support.values.examples import NOON


def snapshot(count: int = 3) -> Snapshot:
    pool = StagedPool(count, now=NOON)
    reports = pool.reports()
    return Snapshot(overview(reports, NOON), by_urgency(reports), live_first(pool.listed))


KNOWN = snapshot()


def after(*keys: str, view: View | None = None) -> tuple[View, Order | Quit | None]:
    """The view after these keys, and what the last one asks for."""
    found: tuple[View, Order | Quit | None] = (view or View(), None)
    for key in keys:
        found = pressed(found[0], key, KNOWN)
    return found


@pytest.mark.parametrize(
    ("key", "verb", "effect"),
    [("p", "pause", "takes no new work until it is resumed"), ("d", "drain", "takes nothing new")],
)
def test_nothing_is_changed_before_a_yes_that_follows_what_it_will_do(
    key: str, verb: str, effect: str
) -> None:
    asking, wanted = after("j", key)
    chosen = KNOWN.reports[1].id

    assert wanted is None
    assert asking.order is not None
    assert effect in asking.order.effect
    _, order = pressed(asking, "y", KNOWN)
    assert isinstance(order, Order)
    assert order.path == f"/v1/subscriptions/{chosen}/{verb}"


@pytest.mark.parametrize("key", ["n", "x", Key.ENTER, Key.ESCAPE, "q"])
def test_any_other_key_is_a_no(key: str) -> None:
    view, wanted = after("p", key)

    assert (view.order, wanted, view.note) == (None, None, "Nothing was changed.")


def test_what_runs_is_cancelled_and_what_has_ended_is_not() -> None:
    running, _ = after(Key.TAB, "c")
    ended, _ = after(Key.TAB, Key.END, "c")

    assert running.order is not None
    assert running.order.path == f"/v1/executions/{KNOWN.executions[0].id}/cancel"
    assert ended.order is None
    assert "has ended already" in ended.note


def test_what_is_paused_is_resumed_and_not_paused_again() -> None:
    paused = KNOWN.reports[0].model_copy(update={"state": SubscriptionState.PAUSED})
    known = Snapshot(KNOWN.overview, (paused, *KNOWN.reports[1:]), KNOWN.executions)

    again, _ = pressed(View(), "p", known)
    resumed, _ = pressed(View(), "r", known)

    assert again.order is None
    assert again.note == f"{paused.id} is paused already."
    assert resumed.order is not None
    assert resumed.order.path.endswith("/resume")


def test_the_chosen_row_stays_the_same_one_when_the_list_changes() -> None:
    asking, _ = after("p")
    turned = Snapshot(KNOWN.overview, KNOWN.reports[::-1], KNOWN.executions)

    explained, _ = pressed(after("e")[0], Key.DOWN, turned)

    assert asking.subscription_id == KNOWN.reports[0].id
    assert explained.subscription_id == KNOWN.reports[0].id


def test_the_choice_stays_within_the_list() -> None:
    assert after(Key.UP)[0].subscription_id == KNOWN.reports[0].id
    assert after(Key.END, Key.DOWN)[0].subscription_id == KNOWN.reports[-1].id
    assert after(Key.TAB, "k")[0].execution_id == KNOWN.executions[0].id


def test_explaining_ends_where_it_began() -> None:
    explained, _ = after(Key.TAB, "e", Key.DOWN)

    assert (explained.explains, explained.scrolled) == (True, 1)
    back, _ = pressed(explained, Key.ESCAPE, KNOWN)
    assert (back.explains, back.scrolled, back.focus) == (False, 0, Focus.EXECUTIONS)


def test_q_leaves() -> None:
    assert isinstance(after("q")[1], Quit)
    assert isinstance(after("e", "q")[1], Quit)


def test_an_empty_pool_has_nothing_to_choose() -> None:
    empty = snapshot(0)

    for key in ("p", "e", Key.DOWN, Key.TAB, "c"):
        view, wanted = pressed(View(), key, empty)
        assert (view.order, wanted) == (None, None)
