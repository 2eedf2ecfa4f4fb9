"""One sighting of an answer of the API, and how several of the same answer become one.

The CLI tells of an answer more than once: as it begins, with each block of its content, as it ends;
in the spool and in the session's transcript. Its counts only grow, so of each the largest is kept:
the first is too small, and the sum counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from pool.claude.tokens import larger
from pool.usage import ModelUsage
from pool.value import Value


class Sighting(Value):
    """What was seen of an answer."""

    message_id: str
    request_id: str | None = None
    """None where the sighting does not say it; then it is that of any other sighting."""
    model: str
    usage: ModelUsage
    is_final: bool = False
    """Whether these are the answer's last counts; else more output was billed than is seen."""


def merged(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """Each answer once, identified by the ids of its message and its request.

    The order of the sightings does not matter, except that of several names for the model of one
    answer the first is kept.
    """
    answers: dict[tuple[str, str], Sighting] = {}
    unnamed: list[Sighting] = []
    for sighting in sightings:
        if sighting.request_id is None:
            unnamed.append(sighting)
        else:
            _merge(answers, (sighting.message_id, sighting.request_id), sighting)
    of_message = {key[0]: key for key in sorted(answers)}
    for sighting in unnamed:
        key = of_message.get(sighting.message_id, (sighting.message_id, ""))
        _merge(answers, key, sighting)
    return tuple(answers[key] for key in sorted(answers))


def _merge(answers: dict[tuple[str, str], Sighting], key: tuple[str, str], seen: Sighting) -> None:
    known = answers.get(key, seen)
    answers[key] = known.model_copy(
        update={
            "usage": larger(known.usage, seen.usage),
            "is_final": known.is_final or seen.is_final,
        }
    )
