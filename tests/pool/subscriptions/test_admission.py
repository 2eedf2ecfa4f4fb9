from datetime import timedelta
from decimal import Decimal

import pytest

from pool.executions.outcome import FailureKind
from pool.limits.windows import Window
from pool.money import nano_usd
from pool.subscriptions.admission import (
    AdmissionLimits,
    Ask,
    Refusal,
    RefusalCause,
    Run,
    Wait,
    admit,
    refusal_to_start,
)
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.slots import Hold
from pool.subscriptions.state import State
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

LIMITS = AdmissionLimits()


def ask(**of: object) -> Ask:
    return Ask.model_validate({"goes_on": False, "reserve_usd": Decimal("0.25")} | of)


def refusal_of(state_: State, ask_: Ask) -> Refusal:
    answer = admit(report_at(state_), ask_, LIMITS)
    assert isinstance(answer, Refusal)
    return answer


def busy(running: int, waiting: int = 0, **settings: object) -> State:
    busy_ = state(**settings)  # type: ignore[arg-type]
    for n in range(running):
        busy_.slots.take(f"r{n}", Hold(f"s{n}", 0))
    for n in range(waiting):
        busy_.slots.enqueue(f"w{n}", Hold(f"t{n}", 0))
    return busy_


def test_a_free_slot_admits() -> None:
    assert Run() == admit(report_at(busy(1, max_concurrent=2)), ask(), LIMITS)


def test_full_slots_make_wait() -> None:
    assert Wait() == admit(report_at(busy(2, max_concurrent=2)), ask(), LIMITS)


def test_nobody_overtakes_those_who_wait() -> None:
    assert Wait() == admit(report_at(busy(1, 1, max_concurrent=2)), ask(), LIMITS)


def test_a_second_turn_of_a_running_session_waits_though_slots_are_free() -> None:
    assert Wait() == admit(report_at(busy(1)), ask(session_busy=True), LIMITS)


def test_a_full_queue_refuses() -> None:
    full = busy(2, 1, max_concurrent=2, max_queued=1)

    assert refusal_of(full, ask()).cause == RefusalCause.QUEUE_FULL


@pytest.mark.parametrize(
    ("spent", "goes_on", "admitted"),
    [
        ("84.9", False, True),
        ("85", False, False),
        ("85", True, True),
        ("97.9", True, True),
        ("98", True, False),
    ],
)
def test_new_work_ends_at_85_percent_and_running_sessions_at_98(
    spent: str, goes_on: bool, admitted: bool
) -> None:
    used = state(spent_usd=spent, weekly_budget_usd=100)

    answer = admit(report_at(used), ask(goes_on=goes_on, reserve_usd=Decimal("0.01")), LIMITS)

    assert admitted == isinstance(answer, Run)


def test_a_limited_week_is_refused_with_its_evidence_and_its_end() -> None:
    refused = refusal_of(state(spent_usd="90", ago=timedelta(days=6), weekly_budget_usd=100), ask())

    assert (RefusalCause.LIMITED, NOON + timedelta(days=1)) == (refused.cause, refused.until)
    assert refused.detail == "90.0% of the week is used (local); new work ends at 85%"


def test_what_is_reserved_counts_against_the_budget() -> None:
    reserved = state(spent_usd="50", weekly_budget_usd=100)
    reserved.slots.take("a", Hold("s", nano_usd("40")))

    fits = admit(report_at(reserved), ask(reserve_usd=Decimal(10)), LIMITS)
    exceeds = refusal_of(reserved, ask(reserve_usd=Decimal("10.000000001")))

    assert Run() == fits
    assert exceeds.cause == RefusalCause.BUDGET


def test_a_turn_of_a_busy_session_reserves_while_it_waits_only_what_the_budget_has_room_for() -> (
    None
):
    subscription = state(spent_usd="50", weekly_budget_usd=100)
    subscription.slots.take("a", Hold("s", nano_usd("40")))

    fits, exceeds = (
        admit(report_at(subscription), ask(session_busy=True, reserve_usd=Decimal(usd)), LIMITS)
        for usd in ("10", "10.000000001")
    )

    assert (fits, exceeds) == (Wait(), Wait(reserves=False))


def test_what_waits_starts_beside_what_runs_and_what_others_reserved_gives_way() -> None:
    subscription = state(spent_usd="50", weekly_budget_usd=100)
    subscription.slots.take("runs", Hold("s1", nano_usd("20")))
    subscription.slots.enqueue("waits", Hold("s2", nano_usd("60")))
    own = ask(reserve_usd=Decimal(30), yielding_usd=Decimal(60))
    too_much = own.model_copy(update={"reserve_usd": Decimal("30.1")})

    starts = refusal_to_start(report_at(subscription), own, LIMITS)
    refused = refusal_to_start(report_at(subscription), too_much, LIMITS)

    assert starts is None
    assert refused is not None
    assert refused.detail == (
        "used 50 + reserved 20 + asked 30.1 USD is more than the weekly budget of 100 USD"
    )


def test_an_order_lets_what_waits_start_within_its_limits_and_a_cooldown_does_not() -> None:
    paused, used_up = Standing(paused=True), {"five_hour": window(0.9)}
    resting = Standing(
        cooldown=Cooldown(
            cause=FailureKind.USAGE_LIMIT,
            evidence="limit",
            since=NOON,
            until=NOON + timedelta(hours=1),
        )
    )

    starts, limited, rests = (
        refusal_to_start(report_at(each), ask(), LIMITS)
        for each in (
            state(standing=paused),
            state(standing=paused, windows=used_up),
            state(standing=resting),
        )
    )

    assert starts is None
    assert limited is not None
    assert rests is not None
    assert (limited.cause, rests.cause) == (RefusalCause.LIMITED, RefusalCause.COOLDOWN)


def test_a_used_up_five_hour_window_refuses_but_the_local_block_never_does() -> None:
    reported = state(windows={"five_hour": window(0.9)})
    local = state(spent_usd="100", ago=timedelta(minutes=1))

    assert refusal_of(reported, ask()).cause == RefusalCause.LIMITED
    assert Run() == admit(report_at(local), ask(), LIMITS)


OPUS, SONNET = "claude-opus-4-1", "claude-sonnet-4-5"


@pytest.mark.parametrize(("model", "admitted"), [(OPUS, False), (SONNET, True), (None, True)])
def test_a_window_of_some_models_holds_for_them_alone(model: str | None, admitted: bool) -> None:
    used = state(windows={"seven_day_opus": window(0.9), "five_hour": window(0.1)})

    answer = admit(report_at(used), ask(model=model), LIMITS)

    assert admitted == isinstance(answer, Run)


def test_a_window_that_nobody_knows_limits_the_model_that_met_it_alone() -> None:
    strange = state(windows={"seven_day_mythos": window(1.0, models="claude-mythos-6")})

    assert Run() == admit(report_at(strange), ask(model=OPUS), LIMITS)
    refused = refusal_of(strange, ask(model="claude-mythos-6"))
    assert refused.cause == RefusalCause.LIMITED


def test_a_rejected_window_is_used_up_whatever_its_share_says() -> None:
    rejected = window(0.2, status="rejected")

    refused = refusal_of(state(windows={"seven_day": rejected}), ask(goes_on=True))

    assert (RefusalCause.LIMITED, rejected.resets_at) == (refused.cause, refused.until)
    assert refused.detail.startswith("100.0% of the seven_day window is used (window)")


def test_a_window_without_a_share_limits_nothing_until_it_rejects() -> None:
    unknown = Window(status="allowed", observed_at=NOON, resets_at=NOON + timedelta(hours=1))

    assert Run() == admit(report_at(state(windows={"five_hour": unknown})), ask(), LIMITS)


@pytest.mark.parametrize(
    "gone",
    [window(1.0, resets_in=timedelta(0)), window(1.0, seen=timedelta(hours=6, seconds=1))],
    ids=["reset", "too old"],
)
def test_a_window_that_was_reset_or_is_too_old_counts_no_more(gone: Window) -> None:
    assert Run() == admit(report_at(state(windows={"five_hour": gone})), ask(), LIMITS)


def test_of_several_limits_the_one_that_lifts_last_is_told() -> None:
    used = state(
        windows={
            "five_hour": window(0.9, resets_in=timedelta(hours=1)),
            "seven_day": window(0.9, resets_in=timedelta(days=3)),
        }
    )

    assert NOON + timedelta(days=3) == refusal_of(used, ask()).until


def test_running_sessions_go_on_in_a_window_up_to_98_percent() -> None:
    used = state(windows={"five_hour": window(0.9)})

    assert Run() == admit(report_at(used), ask(goes_on=True), LIMITS)


def overage(status: str = "in_use", **of: timedelta) -> Window:
    return window(0.0, status=status, **of)


def test_what_is_billed_as_overage_is_refused_until_the_window_resets() -> None:
    spending = overage(resets_in=timedelta(hours=2))

    refused = refusal_of(state(windows={"overage": spending}), ask())

    assert (RefusalCause.OVERAGE, spending.resets_at) == (refused.cause, refused.until)
    assert "set allow_overage" in refused.detail


@pytest.mark.parametrize(
    "harmless",
    [overage("unused"), overage(seen=timedelta(hours=7)), overage(resets_in=timedelta(0))],
    ids=["unused", "too old", "reset"],
)
def test_an_overage_that_is_not_spent_now_refuses_nothing(harmless: Window) -> None:
    assert Run() == admit(report_at(state(windows={"overage": harmless})), ask(), LIMITS)


def test_a_subscription_that_allows_overage_is_bounded_by_its_own_budget_alone() -> None:
    windows = {"overage": overage(), "five_hour": window(1.0), "seven_day": window(1.0)}
    free = state(windows=windows, allow_overage=True)
    spent = state(windows=windows, allow_overage=True, spent_usd="90", weekly_budget_usd=100)

    assert Run() == admit(report_at(free), ask(), LIMITS)
    assert refusal_of(spent, ask()).cause == RefusalCause.LIMITED


def test_who_may_not_wait_is_refused_where_no_slot_is_free() -> None:
    full, queued = busy(2, max_concurrent=2), busy(1, 1, max_concurrent=2)

    answers = [refusal_of(each, ask(may_wait=False)) for each in (full, queued)]

    assert [each.cause for each in answers] == [RefusalCause.BUSY] * 2
    assert Run() == admit(report_at(busy(1, max_concurrent=2)), ask(may_wait=False), LIMITS)


def test_a_turn_of_a_busy_session_that_does_not_wait_is_refused() -> None:
    refused = refusal_of(busy(1), ask(session_busy=True, waits_for_session=False))

    assert (refused.cause, refused.until) == (RefusalCause.SESSION_BUSY, None)


def test_a_turn_of_a_busy_session_waits_for_it_whatever_the_subscriptions_state() -> None:
    paused = busy(1, standing=Standing(paused=True))
    full = busy(2, 3, max_concurrent=2, max_queued=3)

    assert Wait() == admit(report_at(paused), ask(session_busy=True, may_wait=False), LIMITS)
    assert refusal_of(full, ask(session_busy=True)).cause == RefusalCause.QUEUE_FULL


@pytest.mark.parametrize(
    ("standing", "cause"),
    [
        (Standing(paused=True), RefusalCause.PAUSED),
        (Standing(draining=True), RefusalCause.DRAINING),
        (
            Standing(
                cooldown=Cooldown(
                    cause=FailureKind.AUTHENTICATION,
                    evidence="401",
                    since=NOON,
                    until=NOON + timedelta(minutes=5),
                )
            ),
            RefusalCause.NEEDS_LOGIN,
        ),
        (
            Standing(
                cooldown=Cooldown(
                    cause=FailureKind.RATE_LIMITED,
                    evidence="429",
                    since=NOON,
                    until=NOON + timedelta(seconds=30),
                )
            ),
            RefusalCause.COOLDOWN,
        ),
    ],
)
def test_a_stopped_subscription_refuses_with_its_cause(
    standing: Standing, cause: RefusalCause
) -> None:
    assert cause == refusal_of(state(standing=standing), ask()).cause


def test_only_a_want_of_headroom_is_exhaustion() -> None:
    waiting_helps = {cause for cause in RefusalCause if cause.is_exhaustion}

    assert {
        RefusalCause.COOLDOWN,
        RefusalCause.LIMITED,
        RefusalCause.OVERAGE,
        RefusalCause.BUDGET,
        RefusalCause.QUEUE_FULL,
        RefusalCause.BUSY,
    } == waiting_helps
