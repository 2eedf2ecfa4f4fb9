"""A subscription's use outside the pool, as its sessions' transcripts show it. Does no I/O.

Somebody who works in the subscription's config directory leaves transcripts there, among those of
the pool's own runs, and may go on in a session that the pool began. The prompt before an answer
says whose it is: the pool gives its prompts a uuid that is derived from the run's id (version
5), while the CLI draws those of all others at random (version 4). That needs no ledger, so it also
holds for runs that a ledger has forgotten, for histories that were copied with a fork or a move,
and for subagents, whose first words bear the ``promptId`` of the prompt that set them off. In doubt
an answer is taken for the pool's: what is said is never too much.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pool.claude.output.lines import message_of
from pool.claude.transcripts.sighting import Sighting
from pool.claude.transcripts.transcript import sighting_of
from pool.values import Instant, Value

_DERIVED = 5
MAX_TEXT = 100


class ExternalAnswer(Value):
    """An answer that somebody outside the pool got."""

    sighting: Sighting
    at: Instant
    session_id: str | None

    def and_also(self, other: ExternalAnswer) -> ExternalAnswer:
        """What two sightings of the answer say together; it is as old as the first."""
        return self.model_copy(
            update={
                "sighting": self.sighting.and_also(other.sighting),
                "at": min(self.at, other.at),
            }
        )


class ExternalUsageReader:
    """Reads one file of a session, line by line: the session's own, or that of a subagent. Lines
    that are torn, no JSON, or of unknown types are passed over.
    """

    def __init__(self, prompt_ids: set[str]) -> None:
        """``prompt_ids``: those of the pool's prompts, which all files of a session share. Its own
        file is read before those of its subagents.
        """
        self._is_pools = False
        self._prompt_ids = prompt_ids

    def take(self, line: bytes) -> ExternalAnswer | None:
        """Take the next line; the answer that it tells of, if it is not the pool's."""
        entry = message_of(line)
        match entry.get("type"):
            case "user":
                self._take_words(entry)
            case "assistant" if not self._is_pools:
                return _answer(entry)
            case _:
                pass
        return None

    def _take_words(self, entry: dict[str, Any]) -> None:
        prompt_id = entry.get("promptId")
        if is_pools(entry.get("uuid")):
            self._is_pools = True
        elif entry.get("isSidechain") is True and isinstance(prompt_id, str):
            self._is_pools = prompt_id in self._prompt_ids
        elif entry.get("promptSource") not in (None, "system"):
            self._is_pools = False
        if self._is_pools and isinstance(prompt_id, str):
            self._prompt_ids.add(prompt_id)


def is_pools(prompt_uuid: Any) -> bool:
    """Whether a prompt bears a uuid as ``command.prompt_uuid`` makes them."""
    try:
        return isinstance(prompt_uuid, str) and UUID(prompt_uuid).version == _DERIVED
    except ValueError:
        return False


def _answer(entry: dict[str, Any]) -> ExternalAnswer | None:
    sighting, at = sighting_of(entry), _instant(entry.get("timestamp"))
    if sighting is None or at is None or len(sighting.message_id) > MAX_TEXT:
        return None
    session_id = entry.get("sessionId")
    known = isinstance(session_id, str) and session_id.isascii() and len(session_id) <= MAX_TEXT
    return ExternalAnswer(sighting=sighting, at=at, session_id=session_id if known else None)


def _instant(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
