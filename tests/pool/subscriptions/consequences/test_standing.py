from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.executions.outcome import Failed, FailureKind
from pool.limits.windows import RateLimitEvent, models_of
from pool.subscriptions.consequences.standing import (
    Cooldown,
    Standing,
    active_cooldown,
    after,
    is_proving,
    still_signed_out,
    suspected,
)
from tests.support.values.examples import NOON, completed


def failed(kind: FailureKind, *limits: RateLimitEvent) -> Failed:
    return Failed(kind=kind, message=kind.value, limits=limits)


def rejected(resets_at: datetime | None, type_: str | None = "five_hour") -> RateLimitEvent:
    models = models_of(type_, None) if type_ else None
    return RateLimitEvent(
        observed_at=NOON, status="rejected", type=type_, resets_at=resets_at, models=models
    )


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


def test_a_reset_beyond_any_window_is_probed_within_six_hours() -> None:
    far = failed(FailureKind.USAGE_LIMIT, rejected(NOON + timedelta(days=4), "seven_day"))

    assert timedelta(hours=6) == until(after(Standing(), far, NOON))


def test_a_reset_that_has_passed_still_pauses_for_an_instant() -> None:
    past = failed(FailureKind.USAGE_LIMIT, rejected(NOON - timedelta(hours=1)))

    assert timedelta(seconds=1) == until(after(Standing(), past, NOON))


def test_a_limit_of_some_models_alone_makes_no_cooldown() -> None:
    opus = rejected(NOON + timedelta(hours=3), "seven_day_opus")
    standing = after(Standing(), failed(FailureKind.USAGE_LIMIT, opus), NOON)

    assert Standing() == standing


def test_a_limit_of_the_subscription_beside_one_of_a_model_counts_by_its_own_reset() -> None:
    both = failed(
        FailureKind.USAGE_LIMIT,
        rejected(NOON + timedelta(hours=5), "seven_day_opus"),
        rejected(NOON + timedelta(hours=2)),
    )

    assert timedelta(hours=2) == until(after(Standing(), both, NOON))


def test_a_usage_limit_without_a_reset_is_probed_soon() -> None:
    assert timedelta(minutes=5) == until(standing_after(FailureKind.USAGE_LIMIT))


def test_bursts_pause_30_seconds_doubling_to_5_minutes() -> None:
    pauses = [until(standing_after(*[FailureKind.RATE_LIMITED] * n)) for n in range(1, 7)]

    assert [timedelta(seconds=s) for s in (30, 60, 120, 240, 300, 300)] == pauses


def test_a_rejection_without_a_window_is_a_burst_and_no_exhausted_window() -> None:
    bare = failed(FailureKind.RATE_LIMITED, rejected(None, None))

    assert timedelta(seconds=30) == until(after(Standing(), bare, NOON))


@pytest.mark.parametrize("kind", [FailureKind.OVERLOADED, FailureKind.SERVER_ERROR])
def test_overload_pauses_a_subscription_from_the_first_time_and_shortly(kind: FailureKind) -> None:
    pauses = [until(standing_after(*[kind] * n)) for n in range(1, 7)]

    assert [timedelta(seconds=s) for s in (5, 10, 20, 40, 60, 60)] == pauses


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.NO_RESULT,
        FailureKind.CONNECTION,
        FailureKind.NOT_STARTED,
        FailureKind.KILLED,
    ],
)
def test_crashes_pause_a_subscription_at_the_third_time_in_a_row(kind: FailureKind) -> None:
    pauses = [until(standing_after(*[kind] * n)) for n in (1, 2, 3, 4, 20)]

    seconds = [timedelta(seconds=s) for s in (15, 30, 300)]
    assert [None, None, *seconds] == pauses


def test_a_missing_login_stops_a_subscription_for_five_minutes_and_spent_credit_for_fifteen() -> (
    None
):
    assert timedelta(minutes=5) == until(standing_after(FailureKind.AUTHENTICATION))
    assert timedelta(minutes=15) == until(standing_after(FailureKind.CREDIT_EXHAUSTED))


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [
        (FailureKind.ACCESS_DENIED, 5),
        (FailureKind.ACCOUNT_DISABLED, 15),
        (FailureKind.SPEND_LIMIT, 15),
        (FailureKind.STARTUP_FAILED, 0.25),
    ],
)
def test_an_account_or_installation_that_somebody_has_to_mend_rests_from_the_first_time(
    kind: FailureKind, minutes: float
) -> None:
    assert timedelta(minutes=minutes) == until(standing_after(kind))


def test_a_limit_of_money_rests_until_it_lifts_and_is_probed_within_six_hours() -> None:
    for hours, rests in ((2, 2), (48, 6)):
        spent = failed(FailureKind.SPEND_LIMIT).model_copy(
            update={"retry_at": NOON + timedelta(hours=hours)}
        )

        assert timedelta(hours=rests) == until(after(Standing(), spent, NOON))


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.MAX_TURNS,
        FailureKind.MAX_BUDGET,
        FailureKind.REFUSAL,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.INVALID_REQUEST,
        FailureKind.CANCELLED,
        FailureKind.TIMEOUT,
        FailureKind.QUEUE_TIMEOUT,
        FailureKind.SESSION_NOT_FOUND,
        FailureKind.SESSION_NOT_MOVED,
    ],
)
def test_a_callers_own_error_never_parks_a_subscription(kind: FailureKind) -> None:
    standing = standing_after(*[kind] * 20)

    assert (until(standing), standing.consecutive_failures) == (None, 0)


SAYS_NOTHING = [
    FailureKind.SESSION_NOT_FOUND,
    FailureKind.CANCELLED,
    FailureKind.INTERRUPTED,
    FailureKind.TIMEOUT,
    FailureKind.OUTPUT_LIMIT,
    FailureKind.QUEUE_TIMEOUT,
    FailureKind.SESSION_NOT_MOVED,
]


@pytest.mark.parametrize("kind", SAYS_NOTHING)
def test_an_end_that_says_nothing_of_the_subscription_leaves_its_standing_alone(
    kind: FailureKind,
) -> None:
    overloaded = standing_after(FailureKind.OVERLOADED, FailureKind.OVERLOADED)

    assert overloaded == after(overloaded, failed(kind), NOON)
    assert overloaded == after(overloaded, failed(kind), NOON + timedelta(hours=1))


def test_a_subscription_is_proving_from_the_end_of_its_cooldown_until_it_answers() -> None:
    limited = standing_after(FailureKind.USAGE_LIMIT)
    ends = NOON + timedelta(minutes=5)

    answered = after(limited, completed(), ends)
    said_nothing = after(limited, failed(FailureKind.CANCELLED), ends)
    refused = after(limited, failed(FailureKind.MAX_TURNS), ends)

    assert not is_proving(Standing(), NOON)
    assert [is_proving(limited, at) for at in (ends - timedelta(seconds=1), ends)] == [False, True]
    assert [is_proving(each, ends) for each in (answered, said_nothing, refused)] == [
        False,
        True,
        False,
    ]


def test_a_crash_of_a_subscription_that_proves_itself_does_not_open_it() -> None:
    limited = standing_after(FailureKind.USAGE_LIMIT)
    ends = NOON + timedelta(minutes=5)

    crashed = after(limited, failed(FailureKind.CONNECTION), ends)

    assert is_proving(crashed, ends)
    assert crashed.consecutive_failures == 1


def test_a_subscription_that_fails_its_proof_is_closed_for_twice_as_long() -> None:
    burst = standing_after(FailureKind.RATE_LIMITED)
    ends = NOON + timedelta(seconds=30)

    again = active_cooldown(after(burst, failed(FailureKind.RATE_LIMITED), ends), ends)

    assert again is not None
    assert timedelta(seconds=60) == again.until - ends


def test_of_two_cooldowns_at_a_time_the_later_end_counts() -> None:
    limited = after(
        Standing(), failed(FailureKind.USAGE_LIMIT, rejected(NOON + timedelta(hours=3))), NOON
    )

    both = after(limited, failed(FailureKind.OVERLOADED), NOON)

    assert (timedelta(hours=3), 1) == (until(both), both.consecutive_failures)


def test_a_subscription_that_is_still_signed_out_is_looked_at_again_later() -> None:
    signed_out = standing_after(FailureKind.AUTHENTICATION)
    later = NOON + timedelta(minutes=4, seconds=55)

    cooldown = active_cooldown(still_signed_out(signed_out, later), NOON + timedelta(minutes=9))

    assert cooldown is not None
    assert later + timedelta(minutes=5) == cooldown.until


def test_only_a_missing_login_is_prolonged_by_one() -> None:
    limited = standing_after(FailureKind.USAGE_LIMIT)

    assert (limited, Standing()) == (
        still_signed_out(limited, NOON),
        still_signed_out(Standing(), NOON),
    )


@given(st.lists(st.sampled_from(list(FailureKind)), max_size=12), st.integers(0, 3600))
def test_every_cooldown_has_a_cause_and_ends_by_the_clock_within_six_hours(
    kinds: list[FailureKind], step_seconds: int
) -> None:
    standing, now = Standing(), NOON
    for kind in kinds:
        standing = after(standing, failed(kind), now)
        now += timedelta(seconds=step_seconds)

    cooldown: Cooldown | None = standing.cooldown
    if cooldown is not None:
        assert cooldown.cause in kinds
        assert cooldown.evidence == cooldown.cause.value
        assert cooldown.since < cooldown.until <= cooldown.since + timedelta(hours=6)
        assert active_cooldown(standing, cooldown.until) is None


def test_a_success_after_a_cooldown_clears_every_trouble() -> None:
    burst = standing_after(FailureKind.RATE_LIMITED)

    assert Standing() == after(burst, completed(), NOON + timedelta(seconds=30))


def test_a_run_that_was_under_way_and_succeeds_does_not_lift_a_cooldown() -> None:
    limited = standing_after(FailureKind.USAGE_LIMIT)

    assert timedelta(minutes=5) == until(after(limited, completed(), NOON))


def test_an_operators_order_outlives_a_success() -> None:
    assert after(Standing(paused=True), completed(), NOON).paused


def test_an_account_that_fails_its_probes_rests_longer_each_time_up_to_six_hours() -> None:
    standing, now, pauses = Standing(), NOON, []
    for _ in range(6):
        standing = after(standing, failed(FailureKind.ACCOUNT_DISABLED), now)
        cooldown = active_cooldown(standing, now)
        assert cooldown is not None
        pauses.append(cooldown.until - now)
        now = cooldown.until

    assert [timedelta(minutes=m) for m in (15, 30, 60, 120, 240, 360)] == pauses


def test_failures_of_runs_that_were_under_way_together_are_one() -> None:
    assert timedelta(minutes=15) == until(standing_after(*[FailureKind.ACCOUNT_DISABLED] * 5))


def test_what_nobody_can_tell_about_neither_parks_nor_proves_a_subscription() -> None:
    refused = failed(FailureKind.INVALID_REQUEST).model_copy(update={"is_ambiguous": True})
    suspect = suspected(Standing(), FailureKind.INVALID_REQUEST, NOON)
    later = NOON + timedelta(minutes=1)

    assert after(Standing(), refused, NOON) == Standing(unsure_failures=1)
    assert after(Standing(unsure_failures=1), completed(), NOON) == Standing()
    assert is_proving(after(suspect, refused, later), later)


def test_a_suspicion_grows_with_each_probe_that_another_subscription_answers() -> None:
    first = suspected(Standing(), FailureKind.INVALID_REQUEST, NOON)
    told_again = suspected(first, FailureKind.INVALID_REQUEST, NOON)
    later = NOON + timedelta(seconds=30)
    second = active_cooldown(suspected(first, FailureKind.INVALID_REQUEST, later), later)

    assert (timedelta(seconds=30), first) == (until(first), told_again)
    assert second is not None
    assert timedelta(seconds=60) == second.until - later
    assert after(first, completed(), later).cooldown is None


def test_a_limit_of_money_that_says_it_has_lifted_and_has_not_rests_by_itself() -> None:
    spent = failed(FailureKind.SPEND_LIMIT).model_copy(
        update={"retry_at": NOON - timedelta(minutes=1)}
    )

    assert timedelta(minutes=15) == until(after(Standing(), spent, NOON))


def test_a_limit_that_a_later_run_saw_open_is_over() -> None:
    limited = after(
        Standing(), failed(FailureKind.USAGE_LIMIT, rejected(NOON + timedelta(hours=2))), NOON
    )

    def seen_open(seconds: int) -> Standing:
        at = NOON + timedelta(seconds=seconds)
        event = RateLimitEvent(observed_at=at, status="allowed", type="five_hour")
        answered = completed().model_copy(update={"limits": (event,)})
        return after(limited, answered, at)

    assert seen_open(60).cooldown is None
    assert seen_open(1).cooldown is not None


def test_a_limit_without_a_rejection_among_the_events_still_rests() -> None:
    allowed = RateLimitEvent(observed_at=NOON, status="allowed", type="five_hour")

    rested = after(Standing(), failed(FailureKind.USAGE_LIMIT, allowed), NOON)

    assert timedelta(minutes=5) == until(rested)
