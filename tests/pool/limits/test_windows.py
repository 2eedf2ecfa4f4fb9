from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pool.limits.windows import REJECTED, Window, models_of, newest, window_of_family

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)
RESET = NOW + timedelta(hours=3)
LATER = NOW + timedelta(minutes=5)


def window(at: datetime = NOW, **fields: Any) -> Window:
    return Window(**{"status": "allowed", "observed_at": at, "resets_at": RESET, **fields})


def merged(*windows: Window) -> Window:
    return newest(*({"five_hour": each} for each in windows))["five_hour"]


def test_what_was_read_without_a_run_follows_what_a_run_told() -> None:
    read = window(LATER, utilization=0.5, source="get_usage")

    assert merged(window(utilization=0.4), read) == read


def test_what_a_run_was_refused_by_stays_so_until_its_reset_whatever_is_read() -> None:
    read = window(LATER, utilization=0.99, source="get_usage")
    of_the_next = read.model_copy(update={"resets_at": RESET + timedelta(hours=5)})
    refused = window(status=REJECTED)

    assert merged(refused, read).status == REJECTED
    assert merged(refused, read).utilization == 0.99
    assert merged(refused, of_the_next) == of_the_next


def test_a_run_that_was_not_refused_tells_that_a_limit_is_over() -> None:
    assert merged(window(status=REJECTED), window(LATER)).status == "allowed"


def test_the_window_of_a_family_holds_for_it() -> None:
    for family in ("opus", "sonnet", "haiku", "fable"):
        assert models_of(window_of_family(family), None) == family
