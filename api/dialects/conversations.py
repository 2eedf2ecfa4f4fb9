"""Conversations that sessions of the pool hold: which session a caller's history is, told by what
was said.

An SDK sends the whole conversation with each turn. Where all but its last message is what was asked
and answered here before, by the same key and with the same model, system prompt and tools, the
session of that answer goes on, in its kept process if it has one: such a turn costs what any
further turn of a session costs. The pool keeps digests of conversations beside its sessions, so it
is all the same which API process answered and whether it lives; where nothing is known the history
is written as a transcript, and the answer is as good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pool.executions.content.turn import TextPart, Turn
from pool.executions.request import ExecutionRequest

_PROFILE = {"model", "system_prompt", "tools", "agent", "client_tools"}
"""Beside the turns, what the model goes by."""


def history_of(request: ExecutionRequest, caller: str, tenant: str | None) -> str | None:
    """The conversation that a request goes on from; None where it begins one, or names a session
    itself.
    """
    if request.session_id is not None or len(request.messages) < 2:
        return None
    return _digest(caller, tenant, request, request.messages[:-1])


def conversation_after(
    request: ExecutionRequest, caller: str, tenant: str | None, answer: str
) -> str | None:
    """The conversation up to an answer; None where its caller does not have it as the session
    does.
    """
    if request.session_id is not None or not answer.strip():
        return None
    asked = request.messages or (Turn(role="user", content=(TextPart(text=request.prompt),)),)
    said = Turn(role="assistant", content=(TextPart(text=answer),))
    return _digest(caller, tenant, request, (*asked, said))


def _digest(
    caller: str, tenant: str | None, request: ExecutionRequest, turns: Iterable[Turn]
) -> str:
    """A digest that only this conversation of this caller has."""
    digest = hashlib.sha256()
    profile = request.model_dump_json(include=_PROFILE)
    whose = (caller, "" if tenant is None else f"of {tenant}")
    for part in (*whose, profile, *(turn.model_dump_json() for turn in turns)):
        written = part.encode()
        digest.update(b"%d:" % len(written) + written)
    return digest.hexdigest()
