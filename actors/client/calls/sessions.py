"""Sessions, as a client lists and removes them."""

from __future__ import annotations

from actors.client.calls.view import PoolView
from pool.executions.session import Session
from pool.storage.paging import Page


class SessionCalls(PoolView):
    """What a client does with sessions."""

    async def sessions(
        self, *, limit: int = 50, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[Session]:
        """Sessions, those used last first."""
        return await self._router().sessions(
            limit=limit, cursor=cursor, subscription_id=subscription_id, access=self._access
        )

    async def session(self, session_id: str) -> Session:
        """One session, with the moves it has made."""
        return await self._router().session(session_id, self._access)

    async def forget_session(self, session_id: str) -> None:
        """Remove a session and its transcripts, wherever it has been. ``Conflict`` while a turn of
        it is at work.
        """
        await self._router().forget_session(session_id, self._access)
