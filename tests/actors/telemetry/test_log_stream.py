"""What a process says, whoever says it: each line is a JSON object, in its stream and, where that
is asked for, on standard error.
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.telemetry import log_stream
from actors.telemetry.log_stream import BEFORE, LogFile, stream_of

PROGRAM = """
import logging, os, sys, threading, warnings
from pathlib import Path
from actors.telemetry import log_stream
log_stream.begin("info", Path(sys.argv[1]), echo=sys.argv[2] == "echo")
log = logging.getLogger("pool")
"""


def said(folder: Path, program: str, *, echo: bool = True) -> tuple[list[dict[str, Any]], str]:
    """The events in the stream of a process, and its standard error."""
    path = stream_of(folder, "router")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, str(path), "echo" if echo else "silent"],
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines], ended.stderr


def test_whatever_is_written_to_standard_error_is_an_event(tmp_path: Path) -> None:
    events, stderr = said(
        tmp_path,
        """
log.warning("of the pool", extra={"subscription_id": "sub1"})
print("\\x1b[33m(raylet)\\x1b[0m A worker died", file=sys.stderr)
os.write(2, b"[W] native code\\n\\nand a line without an end")
warnings.warn("an old way")
def fails(): raise ValueError("the-secret-plan")
thread = threading.Thread(target=fails, name="t"); thread.start(); thread.join()
os.system("echo of a child >&2")
fails()
""",
    )

    told = {(each["event"], each.get("text")) for each in events}
    assert told >= {
        ("of the pool", None),
        ("written to standard error", "(raylet) A worker died"),
        ("written to standard error", "[W] native code"),
        ("written to standard error", "and a line without an endof a child"),
        ("thread failed", None),
        ("unhandled error", None),
    }
    assert any("an old way" in event for event, _ in told)
    assert [json.loads(line) for line in stderr.splitlines()] == events
    assert "the-secret-plan" not in stderr
    assert "Traceback" not in stderr


def test_what_stands_in_a_stream_is_not_on_standard_error_unless_that_is_asked_for(
    tmp_path: Path,
) -> None:
    events, stderr = said(tmp_path, 'log.info("quiet"); print("x", file=sys.stderr)', echo=False)

    assert [each["event"] for each in events] == ["quiet", "written to standard error"]
    assert stderr == ""


def test_the_last_line_before_a_process_ends_at_once_is_kept(tmp_path: Path) -> None:
    events, _ = said(tmp_path, 'log.error("ledger lost"); os._exit(1)')

    assert [each["event"] for each in events] == ["ledger lost"]


def test_a_line_of_others_that_is_too_long_is_cut(tmp_path: Path) -> None:
    events, _ = said(tmp_path, "os.write(2, b'x' * 200_000 + b'\\n')")

    assert sum(len(each["text"]) for each in events) == 200_000
    assert max(len(each["text"]) for each in events) <= 2 * log_stream.MAX_LINE_BYTES


def test_a_file_is_for_its_user_alone_and_is_begun_anew_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_stream, "MAX_FILE_BYTES", 100)
    path = stream_of(tmp_path, "subscription:sub1")
    file = LogFile(path, pytest.fail)

    for n in range(30):
        file(f"line {n:03}\n".encode())

    before = path.with_name(path.name + BEFORE)
    assert path.name == "subscription-sub1.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert before.read_bytes() + path.read_bytes() == b"".join(
        f"line {n:03}\n".encode() for n in range(12, 30)
    )


def test_a_file_that_somebody_has_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = stream_of(tmp_path, "router")
    file = LogFile(path, pytest.fail)
    file(b"one\n")
    path.rename(tmp_path / "rotated")

    file(b"two\n")

    assert ((tmp_path / "rotated").read_bytes(), path.read_bytes()) == (b"one\n", b"two\n")


def test_where_there_can_be_no_file_the_lines_go_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    lost: list[bytes] = []

    LogFile(stream_of(tmp_path, "router"), lost.append)(b"one\n")

    assert lost == [b"one\n"]
