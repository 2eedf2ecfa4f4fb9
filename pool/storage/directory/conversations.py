"""The index of conversations: which session holds one, told by a digest of what was said.

A session goes on from its end alone. So a digest is noted for the execution that was placed in the
session last, and gone with the next one that is, whoever asks for that; of two who go on from the
same history at the same time one has the session (``Directory.claim``).
"""

from __future__ import annotations

from pool.storage.database import Bindings, Database, Db


class ConversationIndex:
    """Sessions by the conversation that they hold."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def session(self, conversation: str) -> str | None:
        """The session that holds a conversation; of several the one that was used last."""
        wanted = {"conversation": conversation}
        row = await self._database.read(lambda db: db.first("session_of_conversation", wanted))
        return None if row is None else str(row[0])

    async def note(self, conversation: str, session_id: str, execution_id: str) -> bool:
        """Note what a session holds after the answer of an execution; False, and nothing noted,
        where another one has been placed in it since.
        """
        noted = {
            "conversation": conversation,
            "session_id": session_id,
            "execution_id": execution_id,
        }
        return await self._database.write(lambda db: db.run("note_conversation", noted)) > 0


async def take(db: Db, conversation: str, session_id: str) -> bool:
    """Have a session hold a conversation no more; False where it did not."""
    taken: Bindings = {"conversation": conversation, "session_id": session_id}
    return await db.run("take_conversation", taken) > 0
