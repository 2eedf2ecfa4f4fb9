"""Leftovers of a killed CLI, and removing them.

Seen of 2.1.330 after SIGKILL, all of which a CLI that ends by itself takes away:

- ``sessions/<pid>.json``, which announces a running CLI to others, the ``.key`` beside it, and the
  socket that it names; no later CLI removes them. The file names its process by pid, start time and
  machine, so it is known whether that still runs.
- ``<name>.lock``, an empty directory beside a file that was being written.
- with tools, ``shell-snapshots/snapshot-*.sh`` and ``session-env/<session>``, which a CLI goes on
  using for as long as it runs; so they stay while one runs that may be theirs.

Nothing else is touched, least of all transcripts, settings and credentials. Blocking, and safe
beside running CLIs: only what is older than a given instant goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pool.claude.process.identity import start_time
from pool.values import Value


class _Session(Value):
    """One running CLI, by its own announcement."""

    path: Path
    pid: int
    session_id: str
    started_at: datetime
    socket: Path | None
    is_over: bool


def clean(config_dir: Path, older_than: datetime) -> tuple[Path, ...]:
    """Remove what dead CLIs left in a config directory before ``older_than``; what was removed."""
    sessions = tuple(_sessions(config_dir))
    over = [one for one in sessions if one.is_over and _is_older(one.path, older_than)]
    alive = [one for one in sessions if not one.is_over]
    before = min((older_than, *(one.started_at for one in alive)))
    snapshots = sorted(config_dir.glob("shell-snapshots/snapshot-*.sh"))
    files = [
        *(path for one in over for path in _of(one)),
        *(path for path in snapshots if _is_older(path, before)),
    ]
    used = {one.session_id for one in alive}
    directories = [
        *(path for path in sorted(config_dir.glob("session-env/*")) if path.name not in used),
        *sorted(config_dir.glob("*.lock")),
        *sorted(config_dir.glob("plugins/store/*.lock")),
    ]
    return (
        *(path for path in files if _unlink(path)),
        *(path for path in directories if _is_older(path, older_than) and _rmdir(path)),
    )


def _sessions(config_dir: Path) -> Iterator[_Session]:
    for path in sorted(config_dir.glob("sessions/*.json")):
        try:
            fields = json.loads(path.read_bytes())
            yield _session(path, fields)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            continue  # of another release, or being written: not known to be anything


def _session(path: Path, fields: dict[str, Any]) -> _Session:
    pid, session_id = int(fields["pid"]), str(fields["sessionId"])
    socket = Path(str(fields.get("messagingSocketPath", "")))
    # The pids of another machine or container say nothing here: there it may be running.
    is_here = str(pid) == path.stem and fields["pidDomain"] == _pid_domain()
    return _Session(
        path=path,
        pid=pid,
        session_id=session_id,
        started_at=datetime.fromtimestamp(fields["startedAt"] / 1000, UTC),
        socket=socket if socket.name == f"{pid}.sock" else None,
        is_over=is_here and start_time(pid) != int(fields["procStart"]),
    )


def _pid_domain() -> str | None:
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        return f"linux:{machine}:{Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return None


def _of(session: _Session) -> Iterator[Path]:
    """All that belongs to a session that is over; its announcement last, or the rest is lost."""
    yield from sorted(session.path.parent.glob(f"{session.pid}.*.key"))
    if session.socket is not None and session.socket.is_socket():
        yield session.socket
    yield session.path


def _is_older(path: Path, than: datetime) -> bool:
    try:
        return path.lstat().st_mtime < than.timestamp()
    except OSError:
        return False


def _unlink(path: Path) -> bool:
    with suppress(OSError):
        path.unlink()
        return True
    return False


def _rmdir(path: Path) -> bool:
    """Remove a directory that is empty, and nothing else."""
    with suppress(OSError):
        path.rmdir()
        return True
    return False
