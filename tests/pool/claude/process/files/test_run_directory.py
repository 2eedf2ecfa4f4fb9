from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.process_runner import ProcessRunner

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)


async def nowhere() -> Path:
    raise AssertionError("nothing is started here")


@pytest.fixture
async def runner(tmp_path: Path) -> ProcessRunner:
    return ProcessRunner(nowhere, tmp_path / "runs")


def ended(tmp_path: Path, run_id: str, *, kept_at: datetime | None = None) -> RunDirectory:
    """What a run of long ago left, and kept where that was asked for."""
    directory = RunDirectory(tmp_path / "runs", run_id)
    os.close(directory.process.create())
    directory.process.stdout.write_bytes(b"one\ntwo\n")
    if kept_at is not None:
        directory.keep()
        os.utime(directory.path / "kept", (kept_at.timestamp(), kept_at.timestamp()))
    return directory


def test_what_was_kept_survives_the_sweep_and_goes_when_its_time_is_over(
    runner: ProcessRunner, tmp_path: Path
) -> None:
    kept = ended(tmp_path, "kept", kept_at=NOW)
    left = ended(tmp_path, "left")

    runner.sweep(set())
    assert (kept.exists(), left.exists()) == (True, False)
    runner.expire(NOW)
    assert kept.exists()
    runner.expire(NOW + timedelta(seconds=1))
    assert not kept.exists()


def test_what_still_runs_or_was_never_kept_does_not_expire(
    runner: ProcessRunner, tmp_path: Path
) -> None:
    directory = ended(tmp_path, "open")

    runner.expire(datetime.now(UTC) + timedelta(days=1))

    assert directory.exists()


def test_output_is_read_in_pieces_from_anywhere(runner: ProcessRunner, tmp_path: Path) -> None:
    ended(tmp_path, "run")

    piece = runner.printed("run", 2, 4)

    assert piece is not None
    assert (piece.data, piece.size) == (b"e\ntw", 8)
    assert piece.written_at.tzinfo is not None


def test_output_that_is_not_there_is_none(runner: ProcessRunner, tmp_path: Path) -> None:
    ended(tmp_path, "silent").process.stdout.unlink()

    assert runner.printed("silent", 0, 1) is None
    assert runner.printed("unknown", 0, 1) is None


def test_keeping_what_is_gone_already_does_nothing(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "runs", "gone").keep()

    assert not (tmp_path / "runs" / "gone").exists()
