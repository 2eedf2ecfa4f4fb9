"""One sighting of an answer of the API, and how several of the same answer become one.

The CLI tells of an answer more than once: as it begins, with each block of its content, as it ends;
in its output and in the session's transcript, and again in the files of sessions that were forked
or copied from it, there perhaps under the request of another. Its message's id is unique, whatever
the request. Its counts only grow, so of each the largest is kept: the first is too small, and the
sum counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from pool.claude.output.tokens import larger
from pool.usage.records import ModelUsage
from pool.values import Value


class Sighting(Value):
    """What was seen of an answer."""

    message_id: str
    request_ids: frozenset[str] = frozenset()
    model: str
    usage: ModelUsage
    hour_writes: int = 0
    """Of the tokens written to the cache those that live an hour, which cost more."""
    terms: str = ""
    """``fast``, ``batch`` or another word for what is not charged at the model's usual price."""
    is_final: bool = False
    """Whether these are the answer's last counts; else more output was billed than is seen."""

    def and_also(self, other: Sighting) -> Sighting:
        """What two sightings of one answer say together; its model is named by the first."""
        return self.model_copy(
            update={
                "request_ids": self.request_ids | other.request_ids,
                "usage": larger(self.usage, other.usage),
                "hour_writes": max(self.hour_writes, other.hour_writes),
                "terms": max(self.terms, other.terms),
                "is_final": self.is_final or other.is_final,
            }
        )


def merged(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """Each answer once. The order of the sightings does not matter, except that of several names
    for the model of one answer the first is kept.
    """
    answers: dict[str, Sighting] = {}
    for seen in sightings:
        known = answers.get(seen.message_id)
        answers[seen.message_id] = seen if known is None else known.and_also(seen)
    return tuple(answers[id_] for id_ in sorted(answers))
