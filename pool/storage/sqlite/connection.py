"""Opening a store: the lock, the schema, the epoch.

``locking_mode=EXCLUSIVE`` comes before ``journal_mode=WAL``: the lock is then the kernel's and is
held until the process is gone, even while it is frozen, and the WAL needs no shared memory. The
first read takes it. Everything here runs on the store's own thread.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

import apsw
from pydantic import ValidationError

from pool.errors import StoreBusy, StoreError
from pool.storage.owner import Owner, this_process
from pool.storage.sqlite.statements import first_row, migrations, statements

_OWNER = statements("owner")
_RETRY_SECONDS = (0.02, 0.05)
"""Drawn at random, so that two who wait do not meet again and again."""


def store_error(path: Path, error: apsw.Error) -> StoreError:
    """What SQLite said, as what happened and what to do next."""
    match error:
        case apsw.FullError():
            problem = "the disk is full: nothing of this was kept; free some space and try again"
        case apsw.NotADBError() | apsw.CorruptError():
            problem = f"is damaged ({error}): restore a backup of this file"
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            problem = f"cannot be written ({error}): let this user write the file and its folder"
        case apsw.IOError():
            problem = f"the disk failed ({error}): nothing of this was kept; check the disk"
        case _:
            problem = f"refused this: {type(error).__name__}: {error}"
    return StoreError(str(path), problem)


def _make_private(folder: Path) -> None:
    """Make a folder and those above it, for this user alone, so that they outlive power loss."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(above)
        finally:
            os.close(above)


def _write_ahead(path: Path, db: apsw.Connection) -> None:
    if db.pragma("journal_mode", "WAL") != "wal":
        raise StoreError(str(path), "cannot keep a write-ahead log here: put it on a local disk")


def _connected(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    try:
        # By path: closing a descriptor of the file would drop every lock this process has on it.
        # The WAL takes over the mode of the file.
        path.chmod(0o600)
        db.pragma("locking_mode", "EXCLUSIVE")
        _write_ahead(path, db)
        db.pragma("synchronous", "FULL")
        db.pragma("secure_delete", "ON")  # what is removed is overwritten, and not only let go of
        db.pragma("user_version")
    except BaseException:
        db.close()
        raise
    return db


def _end_frozen_owner(path: Path) -> None:
    """Kill an earlier owner that is stopped. It would keep the lock for as long as it is, and when
    it was woken its commits would be refused anyway; the kernel frees the lock with its death.
    """
    owner = read_owner(path)
    if owner is not None and owner.is_frozen():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(owner.pid, signal.SIGKILL)


def _locked(path: Path, wait_seconds: float, closing: Event) -> apsw.Connection:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return _connected(path)
        except apsw.BusyError:
            _end_frozen_owner(path)
            pause = random.uniform(*_RETRY_SECONDS)  # noqa: S311 - no secret hangs on it
            if time.monotonic() >= deadline or closing.wait(pause):
                owner = read_owner(path) or "a process that left no note"
                problem = f"is held by {owner}, for {wait_seconds:g} s and longer: stop it first"
                raise StoreBusy(str(path), problem) from None


def _missing(path: Path, db: apsw.Connection, schema: str) -> list[tuple[int, str]]:
    """The migrations that a store has not had."""
    version, scripts = db.pragma("user_version"), migrations(schema)
    newest = scripts[-1][0]
    if version > newest:
        problem = f"has schema {version}, and this version knows {newest}: install a newer one"
        raise StoreError(str(path), problem)
    return [each for each in scripts if each[0] > version]


def empty_log(db: apsw.Connection) -> None:
    """Bring what is in the log into the file, and leave nothing in it."""
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _activate(path: Path, db: apsw.Connection, schema: str) -> int:
    owner = this_process()
    write_owner(path, owner)
    missing = _missing(path, db, schema)
    db.execute("BEGIN IMMEDIATE")  # one for all: each commit is a sync, and a new store misses many
    for number, script in missing:
        db.execute(script)
        db.pragma("user_version", number)
    epoch: int = first_row(db, _OWNER["take"], owner.model_dump())[0]
    db.execute("COMMIT")
    # What a sync that failed left in the page cache alone may be in the log: write it out anew.
    empty_log(db)
    return epoch


def open_store(
    path: Path, schema: str, wait_seconds: float, closing: Event
) -> tuple[apsw.Connection, int]:
    """Take a store over; its connection and the new epoch.

    Raises ``StoreBusy`` after ``wait_seconds``, or as soon as ``closing`` is set, and
    ``StoreError`` for a store that is damaged, too new, or cannot be written.
    """
    try:
        _make_private(path.parent)
        db = _locked(path, wait_seconds, closing)
        try:
            return db, _activate(path, db, schema)
        except BaseException:
            db.close()
            raise
    except apsw.Error as error:
        raise store_error(path, error) from error
    except OSError as error:
        raise StoreError(str(path), f"cannot be opened ({error}): check its folder") from error


def copy_into(db: apsw.Connection, file: Path, removal: str | None = None) -> None:
    """Write all of a store into a new file, compact, readable by this user alone, on the disk;
    less what ``removal``, a statement, takes out of it.
    """
    _make_private(file.parent)
    db.execute("VACUUM INTO ?", (str(file),))
    file.chmod(0o600)
    if removal is not None:
        copy = apsw.Connection(str(file))
        try:
            copy.execute(removal)
        finally:
            copy.close()
    written = os.open(file, os.O_RDONLY)
    try:
        os.fsync(written)
    finally:
        os.close(written)


def epoch_of(db: apsw.Connection) -> int:
    """The epoch in the store: the owner's own, unless somebody has taken the store over."""
    epoch: int = first_row(db, _OWNER["epoch"])[0]
    return epoch


def roll_back(db: apsw.Connection) -> None:
    """Undo the transaction, if SQLite has not done so by itself."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def leave(path: Path, db: apsw.Connection) -> None:
    """Close in good order: what is in the log goes into the file, and the note is removed."""
    with suppress(OSError):
        forget_owner(path)
    db.close()


def abandon(db: apsw.Connection) -> None:
    """Close and touch nothing: the log stays as it is for whoever opens the store next."""
    with suppress(apsw.Error):
        roll_back(db)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.close()


def _note(store: Path) -> Path:
    return store.with_name(store.name + ".owner")


def write_owner(store: Path, owner: Owner) -> None:
    """Note who holds a store, at once or not at all."""
    draft = store.with_name(store.name + ".owner.new")
    draft.touch(mode=0o600)
    draft.write_text(owner.model_dump_json())
    draft.replace(_note(store))


def read_owner(store: Path) -> Owner | None:
    """The owner that was noted last; None where none was, or the note cannot be read."""
    with suppress(OSError, ValidationError, UnicodeDecodeError):
        return Owner.model_validate_json(_note(store).read_text())
    return None


def forget_owner(store: Path) -> None:
    """The owner leaves in good order. Call it while the store is still held."""
    _note(store).unlink(missing_ok=True)
