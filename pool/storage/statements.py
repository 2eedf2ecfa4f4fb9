"""The SQL of the stores, read from ``.sql`` files.

``queries/<file>.sql`` holds named statements, each under a line ``-- name: <name>`` and with the
comment that explains it. What both engines run word for word stands here, in ``storage/queries``;
the ``queries`` of an engine's package hold what only that engine says so. An engine's
``migrations/<schema>/<number>_<title>.sql`` are applied in the order of their numbers, and the last
number is the version of the schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_OF_BOTH = "pool.storage"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements(engine: str, name: str) -> Mapping[str, str]:
    """The named statements of a file in ``queries``: those of both engines, and an engine's own."""
    return MappingProxyType({**_named(_OF_BOTH, name), **_named(engine, name)})


def _named(package: str, name: str) -> dict[str, str]:
    file = files(package) / "queries" / f"{name}.sql"
    if not file.is_file():
        return {}
    _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def migrations(engine: str, schema: str) -> tuple[tuple[int, str], ...]:
    """``(version, script)`` of a schema, in the order in which they are applied."""
    folder = files(engine) / "migrations" / schema
    scripts = sorted(
        (int(script.name.partition("_")[0]), script.read_text(encoding="utf-8"))
        for script in folder.iterdir()
        if script.name.endswith(".sql")
    )
    return tuple(scripts)
