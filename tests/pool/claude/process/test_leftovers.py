from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process.identity import start_time
from pool.claude.process.leftovers import _pid_domain, clean

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = LATER - timedelta(days=2)
KEPT = ("projects/-w/s.jsonl", ".claude.json", ".credentials.json", "settings.json")
HERE = _pid_domain()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config directory with everything that no cleaning may touch."""
    for name in KEPT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("kept")
    return tmp_path


def a_session(
    config: Path, pid: int, start: int | None, *, name: int | None = None, **fields: Any
) -> Path:
    path = config / "sessions" / f"{name or pid}.json"
    path.parent.mkdir(exist_ok=True)
    known = {
        "pid": pid,
        "sessionId": f"session-{pid}",
        "startedAt": datetime.now(UTC).timestamp() * 1000 - 60_000,
        "procStart": str(start),
        "pidDomain": HERE,
    }
    path.write_text(json.dumps({**known, **fields}))
    return path


def a_dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def kept(config: Path) -> bool:
    return all((config / name).read_text() == "kept" for name in KEPT)


def names(paths: tuple[Path, ...]) -> set[str]:
    return {path.name for path in paths}


def test_a_dead_clis_announcement_goes_with_its_key_and_its_socket(config: Path) -> None:
    pid = a_dead_pid()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(config / f"{pid}.sock"))
    a_session(config, pid, 1, messagingSocketPath=str(config / f"{pid}.sock"))
    (config / "sessions" / f"{pid}.abc.key").touch()

    removed = clean(config, LATER)

    assert names(removed) == {f"{pid}.json", f"{pid}.abc.key", f"{pid}.sock"}
    assert not any(path.exists() for path in removed)
    assert kept(config)


def test_a_pid_that_somebody_else_has_now_is_a_dead_cli(config: Path) -> None:
    start = start_time(os.getpid())
    assert start is not None
    path = a_session(config, os.getpid(), start - 1)

    assert clean(config, LATER) == (path,)


@pytest.mark.parametrize(
    "fields",
    [
        {"procStart": str(start_time(os.getpid()))},
        {"pidDomain": "linux:another:pid:[1]"},
        {"pidDomain": None},
        {"name": 1},
        {"startedAt": 1e300},
        {"procStart": None},
    ],
)
def test_what_may_be_running_stays(config: Path, fields: dict[str, Any]) -> None:
    a_session(config, os.getpid(), 1, **fields)

    assert clean(config, LATER) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"pid":'])
def test_an_announcement_that_cannot_be_read_stays(config: Path, text: str) -> None:
    a_session(config, 1, 1).write_text(text)

    assert clean(config, LATER) == ()


def test_only_what_is_old_goes(config: Path) -> None:
    a_session(config, a_dead_pid(), 1)
    (config / ".claude.json.lock").mkdir()
    (config / "shell-snapshots").mkdir()
    (config / "shell-snapshots" / "snapshot-bash-1.sh").touch()

    assert clean(config, EARLIER) == ()
    assert len(clean(config, LATER)) == 3


@pytest.mark.parametrize("name", [".credentials.json", "anothers.sock", "{pid}.sock"])
def test_what_a_dead_cli_only_names_is_not_its_socket(config: Path, name: str) -> None:
    pid = a_dead_pid()
    (config / f"{pid}.sock").write_text("no socket")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(config / "anothers.sock"))
    named = str(config / name.format(pid=pid))
    path = a_session(config, pid, 1, messagingSocketPath=named)

    assert clean(config, LATER) == (path,)
    assert kept(config)


def test_a_lock_goes_only_as_long_as_it_is_an_empty_directory(config: Path) -> None:
    store = config / "plugins" / "store"
    (store / "a.json.lock").mkdir(parents=True)
    (store / "b.json.lock").mkdir()
    (store / "b.json.lock" / "held").touch()
    (config / "c.lock").write_text("an editor's")

    assert names(clean(config, LATER)) == {"a.json.lock"}


def test_what_a_running_cli_may_use_stays(config: Path) -> None:
    pid = os.getpid()
    a_session(config, pid, start_time(pid))
    for session in (f"session-{pid}", "session-of-another"):
        (config / "session-env" / session).mkdir(parents=True)
    (config / "shell-snapshots").mkdir()
    old, new = (config / "shell-snapshots" / f"snapshot-bash-{n}.sh" for n in (1, 2))
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))

    assert clean(config, LATER) == (old, config / "session-env" / "session-of-another")


def test_a_config_directory_that_is_not_there_is_clean(tmp_path: Path) -> None:
    assert clean(tmp_path / "absent", LATER) == ()
