"""The raylet of this node: the process of Ray here, which this one is connected to for good.

Where it ends (killed, or since Ray held the node to be dead), Ray tells a program that had joined
it nothing: its calls wait for ever, though another raylet may have come up here since. Who knows of
it has to begin anew.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray._private.worker import global_worker


class Raylet:
    """The one that listens at a socket now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _file(path)

    def is_there(self) -> bool:
        """Whether it still listens, and no other does in its place. One that is frozen does."""
        if self._file is None or _file(self._path) != self._file:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self._path))
            except BlockingIOError:
                return True
            except OSError:
                return False
        return True


def of_this_node() -> Raylet:
    """The one that this process has joined."""
    node: Any = global_worker.node
    return Raylet(Path(node.raylet_socket_name))


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a socket from one that is made at the same path later."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_ctime_ns
    return None
