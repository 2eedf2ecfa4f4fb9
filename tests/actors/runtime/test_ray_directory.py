from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runtime.ray_directory import (
    MAX_SOCKET_BYTES,
    SYSTEM,
    base_directory,
    clear,
    ray_directory,
    why_not,
)
from pool.errors import ConfigError


@pytest.fixture
def short() -> Path:
    """A directory in which Ray's sockets fit; pytest's own are too long."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="q", dir=SYSTEM) as directory:
        yield Path(directory)


LONG = "/".join(["x" * 40] * 3)


def test_ray_works_below_the_directory_for_temporary_files_where_it_can(short: Path) -> None:
    assert base_directory({"TMPDIR": str(short)}) == short
    assert base_directory({}) == SYSTEM


def test_a_directory_that_is_too_long_or_not_there_is_passed_over(short: Path) -> None:
    (short / LONG).mkdir(parents=True)

    assert base_directory({"TMPDIR": str(short / LONG)}) == SYSTEM
    assert base_directory({"TMPDIR": str(short / "nowhere")}) == SYSTEM
    assert base_directory({"TMPDIR": "relative"}) == SYSTEM


def test_one_that_was_named_for_ray_is_taken_or_refused_by_name(short: Path) -> None:
    assert base_directory({"RAY_TMPDIR": str(short), "TMPDIR": "/nowhere"}) == short
    with pytest.raises(ConfigError, match=r"RAY_TMPDIR: /nowhere is no directory"):
        base_directory({"RAY_TMPDIR": "/nowhere"})


def test_without_any_it_is_told_what_to_do(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.ray_directory.SYSTEM", short / "x")

    with pytest.raises(ConfigError, match=r"/x is no directory: set RAY_TMPDIR"):
        base_directory({})


def test_what_is_taken_leaves_room_for_the_longest_socket(short: Path) -> None:
    longest = short / ("x" * 200)
    while why_not(longest) != f"{longest} is no directory":
        longest = longest.with_name(longest.name[1:])
    longest.mkdir()

    with ray_directory({"RAY_TMPDIR": str(longest)}) as directory:
        session = "session_2026-01-28_12-00-00.000000_4194304/sockets/plasma_store"
        assert MAX_SOCKET_BYTES - 4 <= len(str(directory / session)) <= MAX_SOCKET_BYTES


def test_it_is_private_and_gone_with_the_start(short: Path) -> None:
    with ray_directory({"TMPDIR": str(short)}) as directory:
        (directory / "session_1").mkdir()
        directory.chmod(0o777)  # as Ray does with what it is given
        assert directory.parent.stat().st_mode & 0o777 == 0o700

    assert list(short.iterdir()) == []


def test_what_a_killed_start_left_is_removed_by_the_next_and_what_lives_stays(short: Path) -> None:
    enter = (
        "import os, sys; from actors.runtime.ray_directory import ray_directory;"
        "with_ = ray_directory({'TMPDIR': sys.argv[1]}); print(with_.__enter__(), flush=True);"
        "sys.stdin.read(); os.kill(os.getpid(), 9)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", enter, str(short)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().decode().strip())

    clear(short)
    assert theirs.is_dir()
    other.stdin.close()
    other.wait(20)
    other.stdout.close()
    assert theirs.is_dir()
    with ray_directory({"TMPDIR": str(short)}) as ours:
        assert list(short.iterdir()) == [ours.parent]


def test_what_failed_is_kept_for_whoever_looks(short: Path) -> None:
    with pytest.raises(RuntimeError), ray_directory({"TMPDIR": str(short)}):
        raise RuntimeError

    assert len(list(short.iterdir())) == 1


def test_what_is_not_a_directory_of_the_pools_is_left_alone(short: Path) -> None:
    (short / "ray").mkdir()
    (short / f"cpool-{os.getuid()}-file").touch()
    (short / f"cpool-{os.getuid()}-link").symlink_to(short / "ray")

    clear(short)

    assert len(list(short.iterdir())) == 3
