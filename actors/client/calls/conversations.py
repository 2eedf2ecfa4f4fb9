"""Conversations that sessions hold, as a client goes on with them by what was said.

A caller that has the whole history does not name a session. The pool knows its sessions by a digest
of their turns (``pool.storage.directory.conversations``); whoever makes the digests says what is in
them, and whose they are.
"""

from __future__ import annotations

from actors.client.calls.executions import ExecutionCalls
from pool.errors import (
    Conflict,
    Exhausted,
    NotFound,
    NotPermitted,
    SessionGone,
    Unavailable,
)
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest

MOST_TRIES = 3
"""Somebody else may have gone on with the session that was found; of the same history there are
hardly so many."""


class ConversationCalls(ExecutionCalls):
    """What a client does with conversations."""

    async def go_on(
        self, request: ExecutionRequest, conversation: str, *, caller: str = ""
    ) -> Execution | None:
        """Have a request admitted as a further turn of the session that holds a conversation, which
        nobody else goes on with then. None where none holds it, or where that cannot go on now.
        """
        for _ in range(MOST_TRIES):
            session_id = await self._router().session_of_conversation(conversation)
            if session_id is None:
                return None
            further = {"session_id": session_id, "session_busy": "refuse"}
            asked = self._dispatch(request.model_copy(update=further), None, caller, None, None)
            dispatch = asked.model_copy(update={"conversation": conversation})
            try:
                return await self._dispatched(dispatch)
            except Conflict:  # it is at work, or was taken meanwhile: perhaps there is another
                await self.conversation_answered(conversation, session_id, dispatch.execution_id)
                continue
            except (NotFound, NotPermitted, SessionGone):
                return None
            except (Exhausted, Unavailable):  # nothing was said in it: it goes on another time
                await self.conversation_answered(conversation, session_id, dispatch.execution_id)
                return None
        return None

    async def conversation_answered(
        self, conversation: str, session_id: str, execution_id: str
    ) -> None:
        """Note which conversation a session holds after the answer of an execution; nothing, where
        another one has begun in it since.
        """
        await self._router().conversation_answered(conversation, session_id, execution_id)
