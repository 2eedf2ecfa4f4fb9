"""The snapshots of those who sleep, which lie in the directory, so that routers read them and wake
nobody.

A row says of a subscription which activation was its last, and, while it sleeps, what that left.
Who wakes one takes the snapshot away before anything is activated, in a transaction of its own; so
after any crash a subscription is thought awake that sleeps, which costs coming up once, and never
the other way round. A snapshot of an earlier activation than the row's is refused, whoever brings
it, however late (G1).
"""

from __future__ import annotations

from pool.storage.database import Database
from pool.storage.documents import document, note_unreadable, read_document
from pool.subscriptions.snapshot import Snapshot


class SnapshotStore:
    """The snapshots of subscriptions that sleep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, Snapshot]:
        """The snapshots of all who sleep, by id. One that cannot be read has its subscription come
        up, as if it had none.
        """
        found = await self._database.read(lambda db: db.rows("snapshots"))
        snapshots = {}
        for subscription_id, text in found:
            try:
                snapshots[subscription_id] = read_document(Snapshot, text)
            except ValueError as error:
                note_unreadable("Snapshot", error, subscription_id=subscription_id)
        return snapshots

    async def sleeps(self, subscription_id: str, snapshot: Snapshot) -> bool:
        """Note that a subscription sleeps. False, and nothing noted, where a later activation, or
        a later snapshot of the same, is known.
        """
        row = {
            "subscription_id": subscription_id,
            "epoch": snapshot.epoch,
            "version": snapshot.version,
            "document": document(snapshot),
        }
        return await self._database.write(lambda db: db.run("sleeps", row)) > 0

    async def wakes(self, subscription_id: str) -> None:
        """Note that a subscription is about to be activated: what it left holds no more, and
        nothing that any activation before this one may bring yet.
        """
        row = {"subscription_id": subscription_id}
        await self._database.write(lambda db: db.run("wakes", row))

    async def is_awake(self, subscription_id: str, epoch: int) -> None:
        """Note which activation runs, where none as late is known."""
        row = {"subscription_id": subscription_id, "epoch": epoch}
        await self._database.write(lambda db: db.run("is_awake", row))
