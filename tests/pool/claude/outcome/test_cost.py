"""The cost of a run, and whether it is all that it may have cost."""

from __future__ import annotations

import pytest

from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import reading_of
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage, UsageSource
from tests.support.clis.concluded import (
    INIT,
    MODEL,
    NO_EVIDENCE,
    NOW,
    TURN,
    a_begun_message,
    a_launch,
    a_reading,
    a_result,
    an_error,
    captured,
    failed,
)


def test_a_killed_run_keeps_the_tokens_that_were_seen() -> None:
    outcome = failed(*captured("killed-sigkill"))

    assert outcome.usage_source is UsageSource.PARTIAL
    assert outcome.usage.models == {MODEL: ModelUsage(input_tokens=100, output_tokens=1)}
    assert "SIGKILL" in outcome.message


def test_a_session_total_runs_on_for_the_next_difference() -> None:
    outcome = conclude(*captured("resume-turn-3"), a_launch(resumes=True))

    assert outcome.session_total_nano_usd == 3 * TURN


def test_without_figures_of_the_run_a_resumed_one_costs_the_difference() -> None:
    models = {MODEL: {"inputTokens": 300, "outputTokens": 60, "costUSD": 0.0018}}
    reading = a_reading(INIT, a_result(total_cost_usd=0.0018, modelUsage=models))

    launch = a_launch(resumes=True, session_total_nano_usd=2 * TURN)
    outcome = conclude(reading, Ending(exit_code=0), launch)

    expected = ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=TURN)
    assert outcome.usage.models == {MODEL: expected}


@pytest.mark.parametrize("known", [TURN // 2, TURN, 5 * TURN])
def test_totals_of_an_old_release_are_the_runs_own_whatever_the_session_cost(known: int) -> None:
    reading = a_reading(INIT, a_result())

    launch = a_launch(resumes=True, session_total_nano_usd=known)
    outcome = conclude(reading, Ending(exit_code=0), launch)

    assert outcome.usage.cost_nano_usd == TURN
    assert outcome.session_total_nano_usd == known + TURN


def test_both_shapes_of_model_usage_say_the_same() -> None:
    rows = [{"model": MODEL, "inputTokens": 100, "outputTokens": 20, "cost": 0.0006}]
    as_array = a_reading(a_result(modelUsage=rows))
    as_object = a_reading(a_result())

    outcomes = [conclude(one, Ending(exit_code=0), a_launch()) for one in (as_array, as_object)]

    assert outcomes[0].usage == outcomes[1].usage
    assert outcomes[0].usage.cost_nano_usd == TURN


def test_an_answer_that_began_and_is_missing_from_the_result_leaves_no_evidence() -> None:
    reading = a_reading(INIT, a_begun_message(), an_error(api_error_status=529))

    outcome = failed(reading, Ending(exit_code=1))

    assert (outcome.evidence, outcome.usage_source) == (NO_EVIDENCE, UsageSource.PARTIAL)
    assert outcome.usage.total.input_tokens == 100


def test_a_result_that_counts_less_than_was_begun_is_no_evidence() -> None:
    counted = {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}}
    result = an_error(api_error_status=529, model_usage_since_last_result=counted)
    reading = a_reading(INIT, a_begun_message("msg_1"), a_begun_message("msg_2"), result)

    outcome = failed(reading, Ending(exit_code=1))

    assert (outcome.evidence, outcome.usage.cost_nano_usd) == (NO_EVIDENCE, TURN)


def tokens(output_tokens: int, cost_nano_usd: int) -> Usage:
    of_model = ModelUsage(
        input_tokens=100, output_tokens=output_tokens, cost_nano_usd=cost_nano_usd
    )
    return Usage(models={MODEL: of_model})


RATES = LearnedPrices().having_seen(tokens(20, TURN)).having_seen(tokens(1, 315_000))


@pytest.mark.parametrize("ended_by", [None, EndedBy.REQUEST, EndedBy.DEADLINE])
def test_what_a_result_leaves_out_costs_at_least_what_was_seen_of_it(
    ended_by: EndedBy | None,
) -> None:
    counted = {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}}
    result = an_error(api_error_status=529, model_usage_since_last_result=counted)
    reading = a_reading(INIT, a_begun_message("msg_1"), a_begun_message("msg_2"), result)
    nothing_told = a_reading(INIT, a_begun_message("msg_1"), an_error(api_error_status=529))
    ending = Ending(exit_code=1, ended_by=ended_by)

    some, none = (failed(each, ending, rates=RATES) for each in (reading, nothing_told))

    assert some.usage == Usage(
        models={MODEL: ModelUsage(input_tokens=200, output_tokens=20, cost_nano_usd=900_000)}
    )
    assert none.usage == tokens(1, 315_000)
    assert [(each.evidence, each.is_partial) for each in (some, none)] == [(True, True)] * 2
    assert [each.unfinished_answers for each in (some, none)] == [2, 1]


def test_a_cost_is_partial_where_it_may_be_more_than_is_said() -> None:
    exact = failed(a_reading(INIT, an_error()), Ending(exit_code=1))
    unknown = failed(a_reading(INIT), Ending(signal=9))
    never_began = failed(a_reading(), Ending(signal=9))

    assert [each.is_partial for each in (exact, unknown, never_began)] == [False, True, False]
    assert not conclude(a_reading(INIT, a_result()), Ending(exit_code=0), a_launch()).is_partial


@pytest.mark.parametrize(
    ("text", "evidence"),
    [("Connection refused (ECONNREFUSED)", True), ("dropped (ECONNRESET)", NO_EVIDENCE)],
)
def test_a_connection_that_broke_may_have_been_billed_and_one_never_made_not(
    text: str, evidence: bool
) -> None:
    result = an_error(api_error="connection_failed", result=text)

    assert failed(a_reading(INIT, result), Ending(exit_code=1)).evidence is evidence


def test_a_run_ended_for_its_output_keeps_what_its_result_says_it_cost() -> None:
    ending = Ending(exit_code=0, ended_by=EndedBy.OUTPUT_LIMIT)

    assert failed(a_reading(INIT, a_result()), ending).usage.cost_nano_usd == TURN


def test_garbage_on_stdout_may_have_been_anything() -> None:
    reading = reading_of([b"<html>"], NOW)

    assert failed(reading, Ending(exit_code=1, stderr="x")).evidence is NO_EVIDENCE
