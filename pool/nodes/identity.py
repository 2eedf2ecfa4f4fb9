"""The identity of a node: one machine's part of a pool, by the disk where its runs are.

What a run leaves (its output, its lock, its transcript) is below the data directory of the machine
that it ran on, and nowhere else. So that is what a node's name is bound to: drawn when the
directory is first used, kept in it, and the same after any restart of Ray or of the machine. The
file bears the machine's own id in its name: where machines share a data directory, each has one of
its own; two directories of one machine are two nodes.
"""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from pool.errors import ConfigError

FOLDER = "nodes"
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def node_id(data_dir: Path) -> str:
    """The name of the node whose data directory this is, drawn where there is none. Blocking.

    ``ConfigError`` where it cannot be kept: nobody could say later where a run was.
    """
    file = data_dir / FOLDER / hashlib.sha256(_machine().encode()).hexdigest()[:16]
    try:
        if not file.exists():
            _draw(file)
        return file.read_text(encoding="ascii")
    except OSError as error:
        problem = f"the node's name cannot be kept in {file}: {error.strerror}"
        raise ConfigError("pool.data_dir", f"{problem}: make that possible") from error


def names_on(data_dir: Path) -> frozenset[str]:
    """Every name that was drawn for this directory: by machines that share it, or by one that has
    been exchanged. What was left under any of them is here. Blocking.
    """
    with suppress(OSError, UnicodeDecodeError):
        found = (data_dir / FOLDER).glob("[!.]*")
        return frozenset(file.read_text(encoding="ascii") for file in found)
    return frozenset()


def _draw(file: Path) -> None:
    """Whole or not at all; of several who draw at once, one has drawn."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{uuid4().hex}")
    draft.write_text(f"node-{uuid4().hex[:12]}", encoding="ascii")
    with suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()


def _machine() -> str:
    """Names the machine for as long as its system is installed. A container has a hostname alone,
    which may change: its runs end with it, and what they left is found on the disk all the same.
    """
    for path in _MACHINE_IDS:
        with suppress(OSError, UnicodeDecodeError):
            if found := path.read_text(encoding="ascii").strip():
                return found
    return platform.node()
