from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from pool.executions.session import Session, SessionAge
from pool.routing.rebalancing import Rebalancing, Relocation, relocations
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.report import Report
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state

POLICY = Rebalancing(interval_seconds=60, cost_gap_usd=Decimal(5), most_per_cycle=2)


def subscription(id_: str, spent_usd: str, **of: object) -> Report:
    """A subscription that has spent so much in its current block."""
    made = state(id_, spent_usd=spent_usd, ago=timedelta(minutes=1), **of)  # type: ignore[arg-type]
    return report_at(made)


def resting(at: str, count: int, age: SessionAge = SessionAge.IDLE) -> dict[str, list[Session]]:
    sessions = (
        Session(id=f"{age}-{n}", subscription_id=at, state=age, last_used_at=NOON)
        for n in range(count)
    )
    return {at: list(sessions)}


def moves(
    *reports: Report, sessions: Mapping[str, Sequence[Session]]
) -> tuple[tuple[str, str, str], ...]:
    return tuple(map(tuple, relocations(reports, sessions, POLICY)))


def test_idle_sessions_go_from_the_subscription_that_spent_most_to_the_one_that_spent_least() -> (
    None
):
    subscriptions = (
        subscription("much", "9"),
        subscription("some", "6"),
        subscription("none", "0"),
    )

    assert moves(*subscriptions, sessions=resting("much", 1)) == (("idle-0", "much", "none"),)


def test_only_a_few_go_at_a_time() -> None:
    subscriptions = (subscription("much", "9"), subscription("none", "0"))

    assert [Relocation("idle-0", "much", "none"), Relocation("idle-1", "much", "none")] == list(
        relocations(subscriptions, resting("much", 9), POLICY)
    )


@pytest.mark.parametrize("age", [SessionAge.ACTIVE, SessionAge.STALE])
def test_sessions_in_use_and_forgotten_ones_stay(age: SessionAge) -> None:
    subscriptions = (subscription("much", "9"), subscription("none", "0"))

    assert moves(*subscriptions, sessions=resting("much", 3, age)) == ()


@pytest.mark.parametrize(("spent", "moved"), [("4.999999999", 0), ("5", 1)])
def test_a_gap_that_does_not_matter_moves_nothing(spent: str, moved: int) -> None:
    subscriptions = (subscription("much", spent), subscription("none", "0"))

    assert moved == len(moves(*subscriptions, sessions=resting("much", 1)))


def test_a_larger_plan_may_spend_more() -> None:
    subscriptions = (subscription("large", "20", weight=10), subscription("small", "0"))

    assert moves(*subscriptions, sessions=resting("large", 1)) == ()


def test_nothing_goes_to_or_from_a_subscription_that_does_not_serve() -> None:
    paused = Standing(paused=True)

    assert (
        moves(
            subscription("much", "9"),
            subscription("none", "0", standing=paused),
            sessions=resting("much", 1),
        )
        == ()
    )
    assert (
        moves(
            *(
                subscription("much", "9", standing=paused),
                subscription("a", "0"),
                subscription("b", "0"),
            ),
            sessions=resting("much", 1),
        )
        == ()
    )


def test_one_subscription_alone_keeps_its_sessions() -> None:
    assert moves(subscription("much", "9"), sessions=resting("much", 1)) == ()
