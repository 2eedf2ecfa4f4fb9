"""Where the files of the stores are: ``subscriptions/<id>/ledger.sqlite``, ``directory.sqlite``."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pool.errors import InvalidRequest
from pool.execution import SubscriptionId
from pool.store.protocol import Directory, Ledger
from pool.store.sqlite.commits import Commits
from pool.store.sqlite.directory import SqliteDirectory
from pool.store.sqlite.ledger import SqliteLedger

_ID = TypeAdapter(SubscriptionId)


class SqliteStores:
    """The stores below a data directory, each opened by one owner at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def open_ledger(self, subscription_id: str, *, patience: float = 10.0) -> Ledger:
        """Take a subscription's ledger over, see ``Stores``."""
        path = self._data_dir / "subscriptions" / _file_name(subscription_id) / "ledger.sqlite"
        return SqliteLedger(subscription_id, await Commits.opened(path, "ledger", patience))

    async def open_directory(self, *, patience: float = 10.0) -> Directory:
        path = self._data_dir / "directory.sqlite"
        return SqliteDirectory(await Commits.opened(path, "directory", patience))


def _file_name(subscription_id: str) -> str:
    """The id, which is a name inside its folder or refused."""
    try:
        return _ID.validate_python(subscription_id)
    except ValidationError:
        problem = f"{subscription_id!r} cannot name a folder: use letters, digits, '.', '_' and '-'"
        raise InvalidRequest("subscription_id", problem) from None
