"""What a subscription holds for a request, whatever its caller claims."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Outcome
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.money import NANO_PER_USD, nano_usd
from pool.subscriptions.consequences.settlement import settlement
from pool.subscriptions.state import MOST_HISTORIES, State, ask_of, held_while_running, reservation
from pool.usage.expected_cost import ENOUGH_RUNS
from pool.usage.records import ModelUsage, Usage
from tests.support.values.examples import NOON, SONNET, completed, usage_of
from tests.support.values.reports import report_at, state

A_WORD = 1_667 * 3_750
"""Nano-dollars of 5,000 bytes."""


def intent(name: str = "e", *, resumes: bool = False, model: str = SONNET, **of: object) -> Intent:
    return Intent(
        execution_id=name,
        request=ExecutionRequest.model_validate({"prompt": "q"} | of),
        session_id="634fbb1e-4256-459f-9794-14ea9ca8dac8",
        resumes=resumes,
        model=model,
        timeout_seconds=60,
        reserved_nano_usd=0,
        routing=Routing(score=0, reason="", candidates=()),
        created_at=NOON,
    )


def ended(state_: State, of: Intent, outcome: Outcome) -> None:
    row = ExecutionRow(intent=of, status=ExecutionStatus.RUNNING, started_at=NOON)
    at = NOON + timedelta(seconds=len(state_.recent_costs))
    state_.settle(settlement("sub1", row, outcome, state_.standing, at))


def experienced(cost_usd: str = "0.02") -> State:
    known = state()
    for number in range(ENOUGH_RUNS):
        ended(known, intent(str(number)), completed(cost_usd=cost_usd))
    return known


@given(st.none() | st.integers(1, 10**9).map(lambda nano: Decimal(nano) / NANO_PER_USD))
def test_a_claim_may_raise_what_is_held_and_never_lowers_it(claimed: Decimal | None) -> None:
    known = experienced("0.02")

    held = reservation(known, intent(max_budget_usd=claimed))

    assert held == max(nano_usd("0.02"), nano_usd(claimed or 0))
    assert nano_usd(ask_of(known, intent(max_budget_usd=claimed)).reserve_usd) == held


def test_a_longer_prompt_holds_more_and_a_long_answer_before_it_does_too() -> None:
    known = experienced("0.02")
    held = reservation(known, intent())

    longer = reservation(known, intent(prompt="word " * 1_000))
    ended(known, intent(), completed(cost_usd="0.5"))
    ended(known, intent(), completed(cost_usd="0.5"))

    assert longer - held == pytest.approx(A_WORD, abs=10_000)
    assert reservation(known, intent()) == nano_usd("0.5")


def test_images_count_by_number_and_schemas_by_their_length() -> None:
    plain = ExecutionRequest(prompt="q")
    schema = {"type": "object", "description": "d" * 3_000}
    image = {"media_type": "image/png", "data": PNG}

    pictures = ExecutionRequest.model_validate({"prompt": "q", "images": [image, image]})
    described = ExecutionRequest.model_validate({"prompt": "q", "json_schema": schema})

    assert pictures.input_tokens - plain.input_tokens == 10_000
    assert 1_000 <= described.input_tokens - plain.input_tokens <= 1_100


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def turn_that_read(tokens: int, *, calls: int = 1, answered: int = 0) -> Completed:
    read = ModelUsage(
        cache_read_input_tokens=tokens, output_tokens=answered, cost_nano_usd=nano_usd("0.01")
    )
    turn = {"usage": Usage(models={SONNET: read}), "num_turns": calls}
    return completed().model_copy(update=turn)


def test_the_next_turn_of_a_session_holds_what_its_history_costs() -> None:
    known = experienced("0.02")
    ended(known, intent("long talk"), turn_that_read(100_000, answered=1_000))

    turn = intent("turn", resumes=True)

    assert known.history_of(turn) == 101_000
    assert reservation(known, turn) >= 101_000 * 3_750
    assert reservation(known, intent("another session")) == nano_usd("0.02")


@given(st.integers(1, 100), st.integers(0, 10_000), st.integers(0, 5_000))
def test_the_last_of_several_calls_that_grow_evenly_is_no_longer_than_the_history(
    calls: int, first: int, more: int
) -> None:
    asked = [first + number * more for number in range(calls)]

    history = turn_that_read(sum(asked), calls=calls, answered=7).context_tokens

    assert asked[-1] + 7 <= history <= 2 * sum(asked) + 7


def test_a_session_that_came_from_elsewhere_is_as_long_as_its_last_home_says() -> None:
    moved = intent(resumes=True).model_copy(update={"history_tokens": 50_000})

    assert reservation(experienced(), moved) >= 50_000 * 3_750


def test_the_sizes_of_the_sessions_that_were_used_last_are_at_hand() -> None:
    known = state()
    for number in range(MOST_HISTORIES + 2):
        known.remember_history(str(number), number)
    known.remember_history("2", 7)
    known.remember_history("new", 8)

    assert len(known.histories) == MOST_HISTORIES
    assert known.histories.get("2") == 7
    assert "3" not in known.histories


def test_what_has_reserved_holds_that_and_nothing_else() -> None:
    reserved = intent(max_budget_usd=3).model_copy(update={"reserved_nano_usd": 5})

    assert held_while_running(state(), reserved) == 5
    assert held_while_running(state(), intent(max_budget_usd=3)) == 3 * NANO_PER_USD


def test_an_alias_holds_what_the_model_costs_that_it_stands_for() -> None:
    known = experienced("0.02")

    unresolved = reservation(known, intent(model="sonnet"))
    known.models = {"sonnet": SONNET, "opus": "claude-opus-4-1"}

    assert unresolved == reservation(known, intent(model="sonnet")) == nano_usd("0.02")
    assert reservation(known, intent(model="opus")) > 20 * nano_usd("0.02")


def test_a_report_tells_what_runs_are_expected_to_cost() -> None:
    (told,) = report_at(experienced("0.02")).expected_costs

    assert told.model_dump(mode="json") == {
        "model": SONNET,
        "uses_tools": False,
        "runs": ENOUGH_RUNS,
        "input_usd_per_million": 3.75,
        "price_source": "assumed",
        "beyond_input_usd": pytest.approx(0.02, abs=0.0001),
    }


def test_what_was_learned_is_known_again_from_the_records() -> None:
    live, records = state(), []
    for number in range(ENOUGH_RUNS):
        row = ExecutionRow(intent=intent(str(number)), status=ExecutionStatus.RUNNING)
        end = settlement("sub1", row, completed(cost_usd=f"0.0{number + 1}"), live.standing, NOON)
        live.settle(end)
        assert end.record is not None
        records.append(end.record)

    anew = state()
    anew.learn(records[::-1])

    assert anew.costs.runs == live.costs.runs
    assert reservation(anew, intent()) == reservation(live, intent())


def test_usage_without_a_request_teaches_nothing_about_requests() -> None:
    known = experienced()
    before = known.costs

    row = ExecutionRow(intent=intent(), status=ExecutionStatus.RUNNING)
    end = settlement("sub1", row, Completed(usage=usage_of("0")), known.standing, NOON)
    known.settle(end)

    assert known.costs is before
