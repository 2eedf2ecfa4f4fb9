from __future__ import annotations

from datetime import timedelta

import pytest

from pool.nodes.clocks import ahead, problem
from tests.support.values.examples import NOON

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("said", [0, 3, 5])
def test_what_a_clock_says_while_it_is_asked_proves_nothing(said: int) -> None:
    assert ahead(NOON + said * SECOND, NOON, NOON + 5 * SECOND) == timedelta()


def test_a_clock_is_off_by_what_no_delay_explains() -> None:
    assert ahead(NOON + 65 * SECOND, NOON, NOON + 5 * SECOND) == 60 * SECOND
    assert ahead(NOON - 60 * SECOND, NOON, NOON + 5 * SECOND) == -60 * SECOND


def test_a_node_that_does_not_say_is_believed() -> None:
    assert ahead(None, NOON, NOON) == timedelta()


def test_half_a_minute_is_tolerated_and_a_minute_is_told() -> None:
    assert problem(30 * SECOND) is None
    assert problem(-30 * SECOND) is None
    assert (problem(60 * SECOND) or "").startswith("its clock is 60 s ahead of that of the router")
    assert (problem(-60 * SECOND) or "").startswith("its clock is 60 s behind that of the router")
