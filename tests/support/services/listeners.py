"""What processes of this machine listen at, and who belongs to whom: read from ``/proc``."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_LISTENING = "0A"


def family_of(pid: int) -> set[int]:
    """A process and all that it has started that lives."""
    parents: dict[int, int] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = each.read_text(errors="replace").rpartition(")")[2].split()
            parents[int(each.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listens_at(pids: set[int]) -> dict[tuple[IPv4Address | IPv6Address, int], int]:
    """Address and port of every TCP socket that one of the processes listens at, and which."""
    sockets = {**_sockets("tcp", 4), **_sockets("tcp6", 16)}
    found = {}
    for pid in pids:
        with suppress(OSError):
            for each in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    inode = str(each.readlink()).removeprefix("socket:[").removesuffix("]")
                    if inode in sockets:
                        found[sockets[inode]] = pid
    return found


def _sockets(table: str, size: int) -> dict[str, tuple[IPv4Address | IPv6Address, int]]:
    found = {}
    for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING:
            raw, _, port = fields[1].partition(":")
            words = [int(raw[at : at + 8], 16) for at in range(0, 2 * size, 8)]
            packed = struct.pack(f"={len(words)}I", *words)
            address = IPv4Address(packed) if size == 4 else IPv6Address(packed)
            plain = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            found[fields[9]] = (plain or address, int(port, 16))
    return found


def assert_reads_itself() -> None:
    """A listener that is there is found: else an empty list would prove nothing."""
    import os

    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = (IPv4Address("127.0.0.1"), listener.getsockname()[1])
        assert here in listens_at({os.getpid()})
