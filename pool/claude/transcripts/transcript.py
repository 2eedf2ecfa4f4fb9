"""The session's transcript, read for what one run of it was billed. Does no I/O.

``<config dir>/projects/<directory>/<session>.jsonl`` holds every turn of a session, of this run and
of others; ``<session>/subagents/agent-*.jsonl`` next to it those of its subagents, nested ones too.
Which turns are the run's is known without any clock: the CLI keeps the uuid of the prompt that it
was given, and ``command`` derives that from the run's id. What stands in the file between this
prompt and the next one that somebody sent is the run's. Everything that a prompt sets off bears its
``promptId``, the first words of a subagent included; prompts that the CLI sends itself, when a
subagent has ended, have a ``promptId`` of their own and belong to the run before them.

2.1.330 writes an answer's entries when it has its last counts, once a content block, each with the
same counts. So an answer that was cut off stands in no transcript; but the ``api-request`` that it
was to answer does, and an entry names the request it answers. Requests without an answer may have
been billed, or refused, or tried again: how many there are is all that is known.
"""

from __future__ import annotations

from typing import Any

from pool.claude.output.lines import message_of
from pool.claude.output.messages import SYNTHETIC
from pool.claude.output.tokens import hour_writes, message_usage, terms
from pool.claude.transcripts.sighting import Sighting, merged
from pool.values import Value


class Transcript(Value):
    """What a session's transcript says of one run."""

    answers: tuple[Sighting, ...] = ()
    unanswered: frozenset[str] = frozenset()
    """Ids of the requests that have no answer in it."""


class TranscriptReader:
    """Reads a session's files for one run, line by line: the session's own first, then those of
    its subagents, each after a ``begin``. Lines that are torn, no JSON, or of unknown types are
    passed over.
    """

    def __init__(self, prompt_uuid: str) -> None:
        self._prompt_uuid = prompt_uuid
        self._prompt_ids: set[str] = set()
        self._is_ours = False
        self._sightings: list[Sighting] = []
        self._requests: set[str] = set()
        self._answered: set[str] = set()

    def begin(self) -> None:
        """Another file: nothing in it is the run's until something says so."""
        self._is_ours = False

    def take(self, line: bytes) -> None:
        """Take the next line."""
        entry = message_of(line)
        match entry.get("type"):
            case "user":
                self._take_words(entry)
            case "api-request" if self._is_ours and (id_ := _name(entry.get("id"))):
                self._requests.add(id_)
            case "assistant" if self._is_ours:
                self._take_answer(entry)
            case _:
                pass

    def transcript(self) -> Transcript:
        """What has been read so far."""
        return Transcript(
            answers=merged(self._sightings),
            unanswered=frozenset(self._requests - self._answered),
        )

    def _take_words(self, entry: dict[str, Any]) -> None:
        prompt_id = entry.get("promptId")
        if entry.get("uuid") == self._prompt_uuid:
            self._is_ours = True
        elif entry.get("isSidechain") is True and isinstance(prompt_id, str):
            self._is_ours = prompt_id in self._prompt_ids
        elif entry.get("promptSource") not in (None, "system"):
            self._is_ours = False
        if self._is_ours and isinstance(prompt_id, str):
            self._prompt_ids.add(prompt_id)

    def _take_answer(self, entry: dict[str, Any]) -> None:
        sighting = sighting_of(entry)
        if sighting is not None:
            self._answered.add(str(entry.get("requestRef")))
            self._sightings.append(sighting)


def sighting_of(entry: dict[str, Any]) -> Sighting | None:
    """The answer that an ``assistant`` entry tells of; None where nothing was billed for it."""
    message = entry.get("message")
    if not isinstance(message, dict) or message.get("model") == SYNTHETIC:
        return None
    message_id = _name(message.get("id"))
    # Usage is counted under the name that was asked for; the API answers with the dated one.
    model = _name(entry.get("requestedModel")) or _name(message.get("model"))
    if message_id is None or model is None:
        return None
    request_id, usage = _name(entry.get("requestId")), message.get("usage")
    return Sighting(
        message_id=message_id,
        request_ids=frozenset(() if request_id is None else (request_id,)),
        model=model,
        usage=message_usage(usage),
        hour_writes=hour_writes(usage),
        terms=terms(usage),
        is_final=message.get("stop_reason") is not None,
    )


def _name(value: Any) -> str | None:
    """An id or the name of a model; those are in ASCII, and lone surrogates are in no value."""
    return value if isinstance(value, str) and value.isascii() and value else None
