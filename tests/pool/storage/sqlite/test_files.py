"""The files of SQLite: modes, versions, damage, and what was removed."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from pool.errors import StoreError
from pool.executions.outcome import Completed
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.storage.sqlite import SqliteStores, connection
from pool.subscriptions.consequences.settlement import Settlement
from tests.support.stores.stored import NOW, on_its_connection, row, settlement


def modes_below(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


async def test_files_and_folders_are_for_their_user_alone(
    stores: SqliteStores, tmp_path: Path
) -> None:
    ledger = await stores.open_ledger("sub1")
    directory = await stores.open_directory()
    modes = modes_below(tmp_path)
    await ledger.close()
    await directory.close()

    folder = "subscriptions/sub1"
    assert {modes["subscriptions"], modes[folder]} == {0o700}
    files = {mode for name, mode in modes.items() if name not in {"subscriptions", folder}}
    assert f"{folder}/ledger.sqlite-wal" in modes
    assert files == {0o600}


async def test_a_request_goes_with_its_execution(stores: SqliteStores) -> None:
    ledger = await stores.open_ledger("sub1")
    await ledger.begin(row("exec_1"))
    await ledger.begin(row("exec_2"))
    await ledger.settle(settlement("exec_1"))

    await ledger.expire(NOW + timedelta(days=35))

    kept = await on_its_connection(ledger, lambda db: db.execute("SELECT id FROM requests").get)
    await ledger.close()
    assert kept == "exec_2"


async def test_a_store_of_a_newer_version_is_refused(
    stores: SqliteStores, ledger_file: Path
) -> None:
    await (await stores.open_ledger("sub1")).close()
    db = apsw.Connection(str(ledger_file))
    db.pragma("user_version", 99)
    db.close()

    with pytest.raises(StoreError, match="has schema 99, and this version knows"):
        await stores.open_ledger("sub1")


def damage(file: Path, intact: int) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:intact] + b"\xff" * (len(content) - intact))


@pytest.mark.parametrize("intact", [0, 4096])
async def test_a_damaged_file_is_refused_with_the_remedy(
    stores: SqliteStores, ledger_file: Path, intact: int
) -> None:
    await (await stores.open_ledger("sub1")).close()
    damage(ledger_file, intact)

    with pytest.raises(StoreError, match=r"ledger\.sqlite: is damaged .*restore a backup"):
        await stores.open_ledger("sub1")


async def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "subscriptions").write_text("a file where the folder should be")

    with pytest.raises(StoreError, match=r"ledger\.sqlite: cannot be opened"):
        await SqliteStores(tmp_path).open_ledger("sub1")


async def test_nothing_of_what_was_removed_can_be_read_from_the_files(
    stores: SqliteStores, ledger_file: Path
) -> None:
    """Rows of every length: pages split, and rows move from one to another as they change."""
    ledger = await stores.open_ledger("sub1")
    for number in range(300):
        begun = row(f"exec_{number:04}")
        request = ExecutionRequest(prompt=f"SECRET-{number} " * (1 + number * 7 % 900))
        begun = begun.model_copy(
            update={"intent": begun.intent.model_copy(update={"request": request})}
        )
        answer = Completed(result=f"SECRET-{number} " * (1 + number * 13 % 700))
        await ledger.begin(begun)
        end = {"status": ExecutionStatus.SUCCEEDED, "finished_at": NOW, "outcome": answer}
        await ledger.settle(Settlement(row=begun.model_copy(update=end)))
    before = read_all(ledger_file.parent)

    removed = await ledger.remove_content(NOW + timedelta(hours=1), NOW)
    after = read_all(ledger_file.parent)
    await ledger.close()

    assert removed == 300
    assert before.count(b"SECRET-") > 300
    assert after.count(b"SECRET-") == 0
    assert b"exec_0299" in after


def read_all(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


async def test_of_migrations_of_which_one_fails_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a death between two of them: a store is that of one version, whole."""
    scripts = (*connection.migrations("ledger"), (99, "CREATE TABLE executions (id TEXT)"))
    with monkeypatch.context() as patched:
        patched.setattr(connection, "migrations", lambda _: scripts)
        with pytest.raises(StoreError, match="already exists"):
            await SqliteStores(tmp_path).open_ledger("sub1")
    db = apsw.Connection(str(tmp_path / "subscriptions" / "sub1" / "ledger.sqlite"))
    kept = (db.pragma("user_version"), db.execute("SELECT count(*) FROM sqlite_master").fetchall())
    db.close()

    ledger = await SqliteStores(tmp_path).open_ledger("sub1")
    epoch = ledger.epoch
    await ledger.close()

    assert (kept, epoch) == ((0, [(0,)]), 1)
