import re
from importlib.resources import files

import pytest

from pool.storage.statements import statements

ENGINES = ("pool.storage.sqlite", "pool.storage.postgresql")
SHARED_ALONE = {"beat", "rival"}
"""Asked of a directory that others may have open, which SQLite's cannot be."""
NAMES = ("directory", "keys", "outbox", "reconciliations", "ledger")


def titles(package: str, name: str) -> set[str]:
    file = files(package) / "queries" / f"{name}.sql"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return set(re.findall(r"^-- name: (\w+)$", text, re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_statement_is_written_for_both_engines_or_for_one(engine: str, name: str) -> None:
    of_both, its_own = titles("pool.storage", name), titles(engine, name)

    assert not of_both & its_own
    assert statements(engine, name).keys() == of_both | its_own


@pytest.mark.parametrize("name", NAMES)
def test_either_engine_has_every_statement(name: str) -> None:
    sqlite, postgresql = (statements(engine, name).keys() for engine in ENGINES)

    assert sqlite == postgresql - SHARED_ALONE
