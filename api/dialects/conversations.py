"""Conversations that sessions of the pool hold: which session a caller's history is, told by what
was said.

An SDK sends the whole conversation with each turn. Where all but its last message is what was asked
and answered here before, by the same key and with the same model, system prompt and tools, the
session of that answer goes on, in its kept process if it has one: such a turn costs what any
further turn of a session costs. It is a cache, in the memory of one API process: where nothing is
known the history is written as a transcript, and the answer is as good. A session goes on from its
end alone, so whoever takes one takes it away: the next one with the same history has another.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from pool.executions.content.turn import TextPart, Turn
from pool.executions.request import ExecutionRequest, SessionId

MOST_REMEMBERED = 10_000
_PROFILE = {"model", "system_prompt", "tools", "agent", "client_tools"}
"""Beside the turns, what the model goes by."""


class Conversations:
    """The sessions whose last answer was given here, by the conversation up to it."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, SessionId] = OrderedDict()

    def gone_on_with(self, request: ExecutionRequest, caller: str) -> ExecutionRequest | None:
        """The request as a further turn of the session that holds its history, which nobody else
        gets any more; None where none does.
        """
        if request.session_id is not None or len(request.messages) < 2:
            return None
        history = request.messages[:-1]
        session = self._sessions.pop(_name(caller, request, history), None)
        if session is None:
            return None
        further = {"session_id": session, "messages": request.messages[-1:]}
        return request.model_copy(update={**further, "session_busy": "refuse"})

    def answered(
        self, request: ExecutionRequest, caller: str, answer: str, session: SessionId
    ) -> None:
        """A request was answered in a session that it began, or that holds its history."""
        if request.session_id is not None or not answer.strip():
            return
        asked = request.messages or (Turn(role="user", content=(TextPart(text=request.prompt),)),)
        said = Turn(role="assistant", content=(TextPart(text=answer),))
        self._sessions[_name(caller, request, (*asked, said))] = session
        while len(self._sessions) > MOST_REMEMBERED:
            self._sessions.popitem(last=False)


def _name(caller: str, request: ExecutionRequest, turns: Iterable[Turn]) -> bytes:
    """A digest that only this conversation of this caller has."""
    digest = hashlib.sha256()
    profile = request.model_dump_json(include=_PROFILE)
    for part in (caller, profile, *(turn.model_dump_json() for turn in turns)):
        written = part.encode()
        digest.update(b"%d:" % len(written) + written)
    return digest.digest()
