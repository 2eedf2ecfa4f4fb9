"""A second look at a run that was settled without knowing what it cost.

Its spool is gone by then; the session's transcript stays, and prices are learned as the pool goes
on. The look changes nothing and may be repeated: it gives the same answer until there is more to
see, and none once the answer was recorded.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import NonNegativeInt

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.evidence import evidence
from pool.claude.output.stream import StreamReading
from pool.claude.output.tokens import larger
from pool.claude.transcripts.files import read_transcript
from pool.claude.transcripts.transcript import Transcript
from pool.usage.records import ModelUsage, Usage
from pool.values import Value


class Correction(Value):
    """What is to be recorded besides what was recorded of a run."""

    usage: Usage
    """The difference: tokens and money that were not counted yet."""
    unfinished_answers: NonNegativeInt = 0
    unanswered_requests: NonNegativeInt = 0
    assumed_prices: tuple[str, ...] = ()


async def rescan(launch: Launch, config_dir: Path, recorded: Usage) -> Correction | None:
    """Look at a run's transcript again, with the prices that are known today.

    ``launch`` is the run's, with today's ``rates``; ``recorded`` all that was counted for the run.
    None where there is nothing new, or no price for all of it: since a run is corrected once, it
    has to wait until its whole evidence has one.
    """
    transcript = await asyncio.to_thread(read_transcript, config_dir, launch)
    return correction(launch, transcript, recorded)


def correction(launch: Launch, transcript: Transcript, recorded: Usage) -> Correction | None:
    """What a transcript adds to what was recorded. Pure."""
    seen = evidence(StreamReading(), transcript)
    cost = launch.rates.estimate(_larger(recorded, seen.usage), seen.hour_writes)
    missing = _missing(cost.usage, recorded)
    if cost.unpriced or not missing.models:
        return None
    return Correction(
        usage=missing,
        unfinished_answers=seen.unfinished,
        unanswered_requests=seen.unanswered,
        assumed_prices=cost.assumed,
    )


def _larger(one: Usage, other: Usage) -> Usage:
    """Of each count the larger: both are lower bounds of the same."""
    nothing = ModelUsage()
    return Usage(
        models={
            name: larger(one.models.get(name, nothing), other.models.get(name, nothing))
            for name in sorted({*one.models, *other.models})
        }
    )


def _missing(whole: Usage, recorded: Usage) -> Usage:
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
