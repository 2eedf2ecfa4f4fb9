from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pool.limits.usage_reading import LEAST, MOST_AFTER_FAILURES, WHILE_UNUSED, ReadingSchedule

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NEVER = ReadingSchedule()


def is_due(schedule: ReadingSchedule, now: datetime = NOW, jitter: float = 0, **known: Any) -> bool:
    heard: dict[str, Any] = {"heard_at": None, "used_at": None, "probe_at": None}
    return schedule.is_due(now, jitter, **{**heard, **known})


def read_at(at: datetime, *, has_answered: bool = True) -> ReadingSchedule:
    return NEVER.asked(at, has_answered=has_answered)


def test_what_was_never_heard_of_is_read_at_once() -> None:
    assert is_due(NEVER)


def test_what_a_run_has_just_told_is_not_asked_for() -> None:
    assert not is_due(NEVER, heard_at=NOW - MINUTE, used_at=NOW)
    assert is_due(NEVER, heard_at=NOW - LEAST, used_at=NOW)


def test_one_that_is_used_is_read_more_often_than_one_that_is_not() -> None:
    read = read_at(NOW - LEAST)

    assert is_due(read, used_at=NOW - MINUTE)
    assert not is_due(read, used_at=NOW - WHILE_UNUSED)
    assert is_due(read_at(NOW - WHILE_UNUSED))


def test_before_a_probe_it_is_read_once_more() -> None:
    read = read_at(NOW - LEAST)

    assert is_due(read, probe_at=NOW + MINUTE / 2)
    assert not is_due(read, probe_at=NOW + 5 * MINUTE)
    assert not is_due(read, probe_at=NOW)


@pytest.mark.parametrize(
    "known", [{}, {"used_at": NOW}, {"probe_at": NOW + MINUTE / 2}], ids=["idle", "used", "probe"]
)
@pytest.mark.parametrize("jitter", [0, 0.5, 1])
def test_never_more_often_than_every_five_minutes(known: dict[str, Any], jitter: float) -> None:
    assert not is_due(read_at(NOW - LEAST + MINUTE / 60), jitter=jitter, **known)


def test_the_beat_is_not_that_of_others() -> None:
    read = read_at(NOW - LEAST - MINUTE / 2)

    assert [is_due(read, jitter=each, used_at=NOW) for each in (0, 1)] == [True, False]


def test_after_failures_it_is_asked_ever_more_seldom_up_to_a_bound() -> None:
    schedule, pauses = NEVER, []
    for _ in range(6):
        schedule = schedule.asked(NOW, has_answered=False)
        pause = LEAST
        while not is_due(schedule, NOW + pause, used_at=NOW + pause):
            pause += MINUTE
        pauses.append(pause)

    assert pauses[:3] == [2 * LEAST, 4 * LEAST, 8 * LEAST]
    assert set(pauses[3:]) == {MOST_AFTER_FAILURES}
    assert schedule.asked(NOW, has_answered=True).failures == 0
