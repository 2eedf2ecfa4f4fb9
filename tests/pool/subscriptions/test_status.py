from datetime import timedelta

import pytest

from pool.executions.outcome import FailureKind
from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.status import capacity
from tests.support.values.examples import NOON
from tests.support.values.reports import state

RAMP = AdmissionLimits(ramp_slots=(1, 3))
LIFTED = Standing(
    cooldown=Cooldown(
        cause=FailureKind.USAGE_LIMIT, evidence="limit", since=NOON, until=NOON + timedelta(hours=1)
    )
)


def test_without_a_ramp_every_slot_counts_from_the_start() -> None:
    assert capacity(state(max_concurrent=5), AdmissionLimits(), NOON) == 5


@pytest.mark.parametrize(("days", "slots"), [(0, 1), (0.99, 1), (1, 3), (1.99, 3), (2, 5), (99, 5)])
def test_a_fresh_subscription_has_more_slots_day_by_day(days: float, slots: int) -> None:
    fresh = state(max_concurrent=5)
    fresh.first_used_at = NOON - timedelta(days=days)

    assert capacity(fresh, RAMP, NOON) == slots


def test_the_first_day_lasts_until_a_subscription_is_used() -> None:
    assert capacity(state(max_concurrent=5), RAMP, NOON + timedelta(days=99)) == 1


def test_a_ramp_gives_no_more_slots_than_there_are() -> None:
    assert capacity(state(max_concurrent=2), AdmissionLimits(ramp_slots=(9,)), NOON) == 2


def test_one_goes_first_once_a_cooldown_has_lifted() -> None:
    proving = state(max_concurrent=5, standing=LIFTED)

    slots = [capacity(proving, AdmissionLimits(), NOON + timedelta(hours=n)) for n in (0, 1, 99)]

    assert slots == [5, 1, 1]
