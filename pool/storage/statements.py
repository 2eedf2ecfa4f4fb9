"""The SQL of the stores, read from the ``.sql`` files of each engine.

``queries/<file>.sql`` holds named statements, each under a line ``-- name: <name>`` and with the
comment that explains it. ``migrations/<schema>/<number>_<title>.sql`` are applied in the order of
their numbers, and the last number is the version of the schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements(engine: str, name: str) -> Mapping[str, str]:
    """The statements of a file in ``queries`` of an engine's package, by their name."""
    text = (files(engine) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return MappingProxyType(dict(zip(parts[::2], parts[1::2], strict=True)))


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
