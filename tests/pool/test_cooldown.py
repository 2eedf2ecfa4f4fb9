from datetime import datetime, timedelta

import pytest
from localpool import NOON, completed

from pool.cooldown import Standing, active_cooldown, after
from pool.outcome import Failed, FailureKind
from pool.windows import RateLimitEvent


def failed(kind: FailureKind, *limits: RateLimitEvent) -> Failed:
    return Failed(kind=kind, message=kind.value, limits=limits)


def rejected(resets_at: datetime | None, type_: str | None = "five_hour") -> RateLimitEvent:
    return RateLimitEvent(observed_at=NOON, status="rejected", type=type_, resets_at=resets_at)


def standing_after(*kinds: FailureKind) -> Standing:
    standing = Standing()
    for kind in kinds:
        standing = after(standing, failed(kind), NOON)
    return standing


def until(standing: Standing) -> timedelta | None:
    cooldown = active_cooldown(standing, NOON)
    return None if cooldown is None else cooldown.until - NOON


def test_a_usage_limit_parks_until_the_reset_that_was_reported() -> None:
    resets_at = NOON + timedelta(hours=3)
    standing = after(Standing(), failed(FailureKind.USAGE_LIMIT, rejected(resets_at)), NOON)

    assert timedelta(hours=3) == until(standing)
    assert active_cooldown(standing, resets_at) is None


def test_a_reset_beyond_any_window_is_probed_within_eight_days() -> None:
    far = failed(FailureKind.USAGE_LIMIT, rejected(NOON + timedelta(days=400)))

    assert timedelta(days=8) == until(after(Standing(), far, NOON))


def test_a_usage_limit_without_a_reset_is_probed_soon() -> None:
    assert timedelta(minutes=5) == until(standing_after(FailureKind.USAGE_LIMIT))


def test_bursts_pause_30_seconds_doubling_to_5_minutes() -> None:
    pauses = [until(standing_after(*[FailureKind.RATE_LIMITED] * n)) for n in range(1, 7)]

    assert [timedelta(seconds=s) for s in (30, 60, 120, 240, 300, 300)] == pauses


def test_a_rejection_without_a_window_is_a_burst_and_no_exhausted_window() -> None:
    bare = failed(FailureKind.RATE_LIMITED, rejected(None, None))

    assert timedelta(seconds=30) == until(after(Standing(), bare, NOON))


@pytest.mark.parametrize(
    "kind", [FailureKind.OVERLOADED, FailureKind.SERVER_ERROR, FailureKind.NO_RESULT]
)
def test_trouble_pauses_a_seat_at_the_third_time_in_a_row(kind: FailureKind) -> None:
    pauses = [until(standing_after(*[kind] * n)) for n in (1, 2, 3)]

    assert [None, None, timedelta(seconds=15)] == pauses


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.MAX_TURNS,
        FailureKind.MAX_BUDGET,
        FailureKind.REFUSAL,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.CANCELLED,
        FailureKind.TIMEOUT,
    ],
)
def test_a_callers_own_error_never_parks_a_seat(kind: FailureKind) -> None:
    standing = standing_after(*[kind] * 20)

    assert (until(standing), standing.consecutive_failures) == (None, 0)


def test_a_success_after_a_cooldown_clears_every_trouble() -> None:
    burst = standing_after(FailureKind.RATE_LIMITED)

    assert Standing() == after(burst, completed(), NOON + timedelta(seconds=30))


def test_a_run_that_was_under_way_and_succeeds_does_not_lift_a_cooldown() -> None:
    limited = standing_after(FailureKind.USAGE_LIMIT)

    assert timedelta(minutes=5) == until(after(limited, completed(), NOON))


def test_an_operators_order_outlives_a_success() -> None:
    assert after(Standing(paused=True), completed(), NOON).paused
