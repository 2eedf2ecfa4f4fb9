"""The embedded stores: SQLite, one file a subscription and one for the directory.

A file of its own for each subscription, held under an exclusive lock by its one owner, because
that is a fence the kernel keeps: a second owner cannot open it while the first lives, frozen or
not, and can a moment after its death. It is also the fastest: 16 writers sharing one file reached
3.3k durable rows/s with waits up to 3 s, on files of their own 12k/s.

Every commit is on the disk before its reply (WAL, ``synchronous=FULL``); callers at the same time
share one (``commits``), so that durability costs one sync a batch and not one a row.

Rule: everything that opens a file of SQLite; only ``actors.runtime.factory`` names it.
"""

from pool.storage.sqlite.stores import SqliteStores

__all__ = ["SqliteStores"]
