"""Backups: a copy of the directory and of every ledger, each as it is at a moment of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from actors.router.ledgers.resting import RestingLedgers
from actors.router.registry import Registry
from pool.storage.backup import Backup, note_contents
from pool.storage.directory.directory import Directory


class Backups:
    """The backups in a folder, by their names. ``keep_prompts``: for how long prompts are kept, and
    so how far back those in a backup reach.
    """

    def __init__(
        self,
        directory: Directory,
        registry: Registry,
        resting: RestingLedgers,
        clock: Callable[[], datetime],
        *,
        folder: Path,
        keep_prompts: timedelta,
    ) -> None:
        self._directory = directory
        self._registry = registry
        self._resting = resting
        self._clock = clock
        self._folder = folder
        self._keep_prompts = keep_prompts

    async def take(self, name: str) -> Backup:
        """Copy every store that is not in the backup of this name yet."""
        folder = self._folder / name
        directory = folder / "directory.sqlite"
        if not directory.exists():
            await self._directory.backup(directory)
        registered = await self._registry.subscription_ids()
        for subscription_id in registered:
            file = folder / "subscriptions" / subscription_id / "ledger.sqlite"
            await self._resting.backup(subscription_id, file)
        taken = Backup(
            path=str(folder),
            subscriptions=registered,
            bytes=sum(file.stat().st_size for file in folder.rglob("*.sqlite")),
            taken_at=self._clock(),
            prompts_since=self._clock() - self._keep_prompts,
        )
        await asyncio.to_thread(note_contents, folder, taken)
        return taken
