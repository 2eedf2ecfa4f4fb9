"""Models that a subscription was refused: remembered for what the refusal was about, not for all.

A Pro plan has no Opus, and a long context needs extra usage: such a refusal holds for this model,
by the very name that was asked for, at this subscription; everything else is served there as
before. It lifts by the clock, later with each time that it is repeated, and with an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pool.executions.outcome import Completed, FailureKind, Outcome
from pool.values import Instant, Value

FIRST_PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(hours=24)
MOST_REMEMBERED = 50
LONG_CONTEXT = "[1m]"
LONG_PROMPT_BYTES = 200_000
"""A prompt from which on a refused long context may be its own doing; 200,000 tokens are more."""
ABOUT_A_MODEL = frozenset({FailureKind.MODEL_NOT_FOUND, FailureKind.NOT_ENTITLED})


class ModelRefusal(Value):
    """A model that is refused at a subscription, until an instant."""

    model: str
    cause: FailureKind
    evidence: str
    until: Instant
    times: int = 1
    at_least_bytes: int = 0
    """It was refused for the length of its prompt: shorter ones are served."""


def about(
    refusals: Iterable[ModelRefusal], model: str | None, prompt_bytes: int, now: datetime
) -> ModelRefusal | None:
    """The refusal that holds for a request."""
    return next(
        (
            each
            for each in refusals
            if each.model == model and prompt_bytes >= each.at_least_bytes and now < each.until
        ),
        None,
    )


def after(
    refusals: tuple[ModelRefusal, ...],
    outcome: Outcome,
    *,
    model: str,
    prompt_bytes: int,
    resumes: bool,
    now: datetime,
) -> tuple[ModelRefusal, ...]:
    """What is remembered once a run for ``model`` has ended."""
    known = next((each for each in refusals if each.model == model), None)
    others = tuple(each for each in refusals if each.model != model)
    if isinstance(outcome, Completed):
        is_shorter = known is not None and prompt_bytes < known.at_least_bytes
        return refusals if is_shorter else others
    if outcome.kind not in ABOUT_A_MODEL:
        return refusals
    by_length = outcome.kind is FailureKind.NOT_ENTITLED and not model.endswith(LONG_CONTEXT)
    if by_length and resumes:
        return refusals  # its history was too long, which says nothing of other sessions
    times = known.times + 1 if known is not None and known.until <= now else 1
    refused = ModelRefusal(
        model=model,
        cause=outcome.kind,
        evidence=outcome.message,
        until=now + min(FIRST_PAUSE * (1 << min(times - 1, 5)), LONGEST_PAUSE),
        times=times,
        at_least_bytes=prompt_bytes if by_length and prompt_bytes >= LONG_PROMPT_BYTES else 0,
    )
    return (*others, refused)[-MOST_REMEMBERED:]
