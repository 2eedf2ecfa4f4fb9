from __future__ import annotations

from datetime import timedelta

from pool.executions.outcome import Failed, FailureKind, Outcome
from pool.subscriptions.consequences.model_refusals import (
    LONG_PROMPT_BYTES,
    ModelRefusal,
    about,
    after,
)
from tests.support.values.examples import NOON, completed

Refusals = tuple[ModelRefusal, ...]
NO_OPUS = Failed(kind=FailureKind.MODEL_NOT_FOUND, message="no such model")
NOT_SO_LONG = Failed(kind=FailureKind.NOT_ENTITLED, message="extra usage is needed")
HOUR = timedelta(hours=1)


def seen(
    outcome: Outcome,
    model: str,
    known: Refusals = (),
    *,
    prompt_bytes: int = 10,
    resumes: bool = False,
    later: timedelta = timedelta(0),
) -> Refusals:
    return after(
        known,
        outcome,
        model=model,
        prompt_bytes=prompt_bytes,
        resumes=resumes,
        now=NOON + later,
    )


def test_a_model_that_was_refused_is_refused_by_that_name_alone_and_for_an_hour() -> None:
    known = seen(NO_OPUS, "opus")

    assert about(known, "opus", 10, NOON) is not None
    assert about(known, "sonnet", 10, NOON) is None
    assert about(known, "opus", 10, NOON + HOUR) is None


def test_it_is_remembered_longer_each_time_and_forgotten_with_an_answer() -> None:
    again = seen(NO_OPUS, "opus", seen(NO_OPUS, "opus"), later=HOUR)

    assert again[0].until == NOON + 3 * HOUR
    assert seen(completed(), "opus", again) == ()
    assert seen(completed(), "sonnet", again) == again


def test_a_long_prompt_that_was_refused_says_nothing_of_short_ones() -> None:
    known = seen(NOT_SO_LONG, "sonnet", prompt_bytes=LONG_PROMPT_BYTES)

    assert about(known, "sonnet", LONG_PROMPT_BYTES, NOON) is not None
    assert about(known, "sonnet", 10, NOON) is None
    assert seen(completed(), "sonnet", known) == known
    assert seen(NOT_SO_LONG, "sonnet", resumes=True) == ()


def test_a_variant_for_long_contexts_is_refused_whatever_the_prompt() -> None:
    known = seen(NOT_SO_LONG, "sonnet[1m]", prompt_bytes=LONG_PROMPT_BYTES)

    assert about(known, "sonnet[1m]", 10, NOON) is not None
    assert about(known, "sonnet", 10, NOON) is None
