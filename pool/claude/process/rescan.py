"""A second look at a run that was settled without knowing what it cost.

Its output is gone by then; the session's transcript stays, and prices are learned as the pool goes
on. The look changes nothing and may be repeated: it gives the same answer until there is more to
see, and none once the answer was recorded.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import NonNegativeInt

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.evidence import beyond, evidence, larger_usage
from pool.claude.output.stream import StreamReading
from pool.claude.transcripts.files import read_transcript
from pool.claude.transcripts.transcript import Transcript
from pool.usage.records import Usage
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
    cost = launch.rates.estimate(larger_usage(recorded, seen.usage), seen.hour_writes)
    missing = beyond(cost.usage, recorded)
    if cost.unpriced or not missing.models:
        return None
    return Correction(
        usage=missing,
        unfinished_answers=seen.unfinished,
        unanswered_requests=seen.unanswered,
        assumed_prices=cost.assumed,
    )
