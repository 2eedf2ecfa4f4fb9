"""Files of a session's transcript: where the CLI keeps them, whether it can, and bounded reading.

The directory below ``projects`` is named after the working directory, shortened where that is long,
and a session that was taken elsewhere has files in several; so the session's id is looked for below
all of them. Blocking: not for the event loop.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from pool.claude.launch.command import prompt_uuid
from pool.claude.launch.launch_spec import Launch
from pool.claude.output.lines import message_of
from pool.claude.output.tail import Tail, piece_of
from pool.claude.transcripts.transcript import Transcript, TranscriptReader

MAX_BYTES = 64 * 1024 * 1024
"""Read of each file at most, from its end: about what a run may print at most."""
MAX_SUBAGENTS = 1000


def why_not_writable(config_dir: Path) -> str | None:
    """Why the CLI could not keep a transcript below a config directory; None where it can. It would
    answer all the same, and the session would be lost.
    """
    for directory in (config_dir, config_dir / "projects"):
        if directory == config_dir or directory.exists():
            try:
                with tempfile.TemporaryFile(dir=directory):
                    pass
            except OSError as error:
                return error.strerror or "the system refuses"
    return None


def read_transcript(config_dir: Path, launch: Launch) -> Transcript:
    """What the transcripts below a config directory say of one run; nothing where there are none.

    Of a session that has grown beyond ``MAX_BYTES`` the end is read. If the run's prompt is not in
    it, nothing is the run's: what is said is never too much.
    """
    reader = TranscriptReader(prompt_uuid(launch))
    for path in _files(config_dir, launch.session_id):
        reader.begin()
        with suppress(OSError):  # what cannot be read says nothing
            for line in _last_lines(path):
                reader.take(line)
    return reader.transcript()


def remove_unbegun(config_dir: Path, session_id: str) -> None:
    """Remove the transcript of a session in which nobody was asked anything, such as one that a
    process was cleared for and that was never begun: the CLI begins none that has one.
    """
    for path in (config_dir / "projects").glob(f"*/{session_id}.jsonl"):
        entries = (message_of(line) for line in _last_lines(path))
        if not any(entry.get("type") in {"assistant", "api-request"} for entry in entries):
            path.unlink(missing_ok=True)


def _files(config_dir: Path, session_id: str) -> Iterator[Path]:
    """A session's own files first, then those of its subagents."""
    projects = config_dir / "projects"
    yield from sorted(projects.glob(f"*/{session_id}.jsonl"))
    subagents = sorted(projects.glob(f"*/{session_id}/subagents/agent-*.jsonl"))
    yield from subagents[:MAX_SUBAGENTS]


def _last_lines(path: Path) -> Iterator[bytes]:
    read = partial(piece_of, path)
    there = read(0, 0)
    if there is not None:
        tail = Tail(read, max(0, there.size - MAX_BYTES))
        yield from (line.text for line in tail.lines(is_over=True))
