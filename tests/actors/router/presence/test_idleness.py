"""When a subscription is asked again, by the clock alone."""

from __future__ import annotations

import math
from datetime import timedelta

from actors.router.presence.idleness import TURNED_SECONDS, until_it_turns
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state

SECOND = timedelta(seconds=1)


def test_a_state_is_looked_at_again_as_it_ends() -> None:
    report = report_at(state()).model_copy(update={"observed_at": NOON, "state_until": NOON})
    ends = report.model_copy(update={"state_until": NOON + 3 * SECOND})

    assert until_it_turns(ends, NOON + SECOND) == 2
    assert until_it_turns(ends.model_copy(update={"state_until": None}), NOON) == math.inf


def test_one_that_has_ended_while_its_report_was_on_its_way_is_looked_at_at_once() -> None:
    report = report_at(state()).model_copy(update={"observed_at": NOON})
    overtaken = report.model_copy(update={"state_until": NOON + SECOND})
    known = report.model_copy(update={"state_until": NOON - SECOND})

    assert until_it_turns(overtaken, NOON + 2 * SECOND) == TURNED_SECONDS
    assert until_it_turns(known, NOON + 2 * SECOND) < 0
