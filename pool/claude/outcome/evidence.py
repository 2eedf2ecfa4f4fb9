"""Evidence of what a run was billed: its output and the session's transcript, put together.

The output shows how each answer of the main thread began, at once, and how it ended; of a
subagent's answers only that they were there. The transcript has the last counts of every answer,
subagents' too, but nothing of answers that were cut off, and what the CLI had not written yet when
it was killed is missing. An answer that both saw counts once.

All of it is a lower bound: the output of an answer that was cut off is billed up to the cut, and
nobody says how far it came; a request may have gone out that neither witness saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import Field, NonNegativeInt

from pool.claude.output.stream import StreamReading
from pool.claude.output.tokens import larger
from pool.claude.transcripts.sighting import Sighting, merged
from pool.claude.transcripts.transcript import Transcript
from pool.usage.records import ModelUsage, Usage
from pool.usage.totals import total_usage
from pool.values import Value


class Evidence(Value):
    """The answers that a run is known to have got."""

    usage: Usage = Usage()
    """Their tokens, without a price."""
    hour_writes: dict[str, int] = Field(default_factory=dict)
    """By model, of the tokens written to the cache those that live an hour."""
    answers: NonNegativeInt = 0
    unfinished: NonNegativeInt = 0
    """Of the answers those whose last counts nobody saw: their input is known, their output is a
    lower bound."""
    unanswered: NonNegativeInt = 0
    """Requests besides these answers of which nobody saw an answer begin: billed or not."""


def evidence(reading: StreamReading, transcript: Transcript) -> Evidence:
    """What both witnesses know together: each answer once, of each count the larger."""
    printed = _sightings(reading)
    # The transcript goes first: it alone knows by what name a subagent's model was asked for.
    answers = merged((*transcript.answers, *printed))
    in_transcript = {answer.message_id for answer in transcript.answers}
    printed_only = sum(answer.message_id not in in_transcript for answer in printed)
    return Evidence(
        usage=total_usage(Usage(models={answer.model: answer.usage}) for answer in answers),
        hour_writes=_hour_writes(answers),
        answers=len(answers),
        unfinished=sum(not answer.is_final for answer in answers),
        unanswered=max(0, len(transcript.unanswered) - printed_only),
    )


def _hour_writes(answers: Iterable[Sighting]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for answer in answers:
        found[answer.model] += answer.hour_writes
    return {model: tokens for model, tokens in found.items() if tokens}


def _sightings(reading: StreamReading) -> tuple[Sighting, ...]:
    return tuple(
        Sighting(
            message_id=message_id,
            model=_asked_for(model, reading),
            usage=usage,
            is_final=message_id in reading.finished,
        )
        for message_id, seen in reading.messages.items()
        for model, usage in seen.models.items()
    )


def _asked_for(model: str, reading: StreamReading) -> str:
    """The name by which an answering model was asked for, which is that of the CLI's own figures.

    ``claude-sonnet-4-5`` and ``claude-sonnet-4-5-20250929[1m]`` are both answered by
    ``claude-sonnet-4-5-20250929``.
    """
    if reading.model is None:
        return model
    plain = reading.model.removesuffix("[1m]")
    return reading.model if model == plain or model.startswith(f"{plain}-") else model


def larger_usage(one: Usage, other: Usage) -> Usage:
    """The larger of each count: both are lower bounds of the same."""
    nothing = ModelUsage()
    return Usage(
        models={
            name: larger(one.models.get(name, nothing), other.models.get(name, nothing))
            for name in sorted({*one.models, *other.models})
        }
    )


def beyond(whole: Usage, recorded: Usage) -> Usage:
    """What is to be added to ``recorded`` to have ``whole``; never less than nothing."""
    models = {}
    for name, usage in whole.models.items():
        known = recorded.models.get(name, ModelUsage())
        counts = {
            field: max(0, getattr(usage, field) - getattr(known, field))
            for field in ModelUsage.model_fields
        }
        if any(counts.values()):
            models[name] = ModelUsage(**counts)
    return Usage(models=models)
