"""A disk below SQLite on which one chosen operation fails.

An apsw VFS over the system's own: it counts writes, syncs and truncations, and lets the one of a
given number fail, once or from then on. ``tests/pool/storage/sqlite/test_commits.py`` has one that
is full or fails as a whole; this one goes through a scenario operation by operation.
"""

from __future__ import annotations

from typing import Any, Literal

import apsw

Operation = Literal["write", "sync", "truncate"]


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        super().__init__(disk.below, name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.passes("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.passes("sync")
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.passes("truncate")
        super().xTruncate(newsize)


class FailingDisk(apsw.VFS):
    """The default disk of this process, until it is unregistered."""

    def __init__(self) -> None:
        self.below = apsw.vfs_names()[0]
        self._fails: tuple[Operation, int] | None = None
        self._lasts = False
        self._error: type[apsw.Error] = apsw.IOError
        self.counts: dict[Operation, int] = {"write": 0, "sync": 0, "truncate": 0}
        self.struck = 0
        """How often an operation has failed."""
        super().__init__("failing", self.below, makedefault=True)

    def fail(
        self,
        operation: Operation,
        number: int,
        *,
        lasts: bool = False,
        error: type[apsw.Error] = apsw.IOError,
    ) -> None:
        """Let the operation of this number, counted from now, fail; ``lasts``: and all later."""
        self.counts = dict.fromkeys(self.counts, 0)
        self._fails, self._lasts, self._error, self.struck = (operation, number), lasts, error, 0

    def heal(self) -> None:
        self._fails = None

    def passes(self, operation: Operation) -> None:
        self.counts[operation] += 1
        if self._fails is None:
            return
        kind, number = self._fails
        seen = self.counts[operation]
        if kind == operation and (seen == number or (self._lasts and seen > number)):
            self.struck += 1
            raise self._error

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802
        return _File(self, name, flags)
