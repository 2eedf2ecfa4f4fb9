from datetime import timedelta
from decimal import Decimal

import pytest
from localpool import NOON
from reports import report_at, state, window

from pool.admission import AdmissionLimits, Ask, Refusal, RefusalCause, Run, Wait, admit
from pool.cooldown import Cooldown, Standing
from pool.money import nano_usd
from pool.outcome import FailureKind
from pool.slots import Hold
from pool.state import State

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


def test_a_used_up_five_hour_window_refuses_but_the_local_block_never_does() -> None:
    reported = state(windows={"five_hour": window(0.9)})
    local = state(spent_usd="100", ago=timedelta(minutes=1))

    assert refusal_of(reported, ask()).cause == RefusalCause.LIMITED
    assert Run() == admit(report_at(local), ask(), LIMITS)


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
        RefusalCause.BUDGET,
        RefusalCause.QUEUE_FULL,
    } == waiting_helps
