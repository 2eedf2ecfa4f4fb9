"""Taking a session's transcript along to another subscription.

The CLI finds a session in the config directory it runs in, and nowhere else; a transcript that is
copied to the same relative place is found and gone on with (tried: history and id intact). A copy
names every file with its digest, and is installed whole or not at all. Blocking: not for the event
loop.

Of a turn that failed there its prompt stands at the transcript's end, followed by the CLI's words
about the failure (seen in 2.1.330: with ``isApiErrorMessage``, which a resume does not send). Such
a turn is left out of a copy, or the model would read its prompt twice.

With each file of a copy stands how many bytes of it were copied: what these tell happened
elsewhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import StringConstraints

from pool.claude.output.lines import message_of
from pool.errors import Conflict
from pool.values import Value

MAX_COPY_BYTES = 64 * 1024 * 1024
"""Of a session's files together."""
_COPIED = ".copied"


class SessionFile(Value):
    """One file, by its place below ``projects``."""

    path: str
    data: bytes
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SessionCopy(Value):
    """Everything the CLI knows of a session."""

    session_id: str
    files: tuple[SessionFile, ...]
    total_nano_usd: int | None = None
    """The CLI's running total of the session, as its last subscription knew it."""


class CopyRefused(Conflict):
    """A session that cannot be copied, or a copy that is not what it says. The reason is safe."""


class TranscriptGone(CopyRefused):
    """There is nothing to be copied, and nothing that the CLI could go on with."""


def copy_session(
    config_dir: Path, session_id: str, without_prompts: Iterable[str] = ()
) -> SessionCopy:
    """A copy of a session, without the turns of these prompts, which are known by their uuids.

    Raises ``TranscriptGone`` where there is no such session, ``CopyRefused`` for too much of it.
    """
    projects = config_dir / "projects"
    transcripts = sorted(projects.glob(f"*/{session_id}.jsonl"))
    if not transcripts:
        raise TranscriptGone("its transcript is not there any more")
    latest = max(transcripts, key=lambda path: path.stat().st_mtime_ns)
    further = (
        path
        for path in latest.with_suffix("").rglob("*")
        if path.is_file() and not path.name.endswith(_COPIED)
    )
    paths = [latest, *sorted(further)]
    if sum(path.stat().st_size for path in paths) > MAX_COPY_BYTES:
        raise CopyRefused(f"it is larger than {MAX_COPY_BYTES} bytes")
    unwanted = frozenset(without_prompts)
    files = tuple(
        _file(projects, path, unwanted if path == latest else frozenset()) for path in paths
    )
    if not _has_turns(files[0].data):
        raise TranscriptGone("no turn of it has been answered")
    return SessionCopy(session_id=session_id, files=files)


def install_session(config_dir: Path, copy: SessionCopy) -> None:
    """Put a copy where the CLI finds it, in the place of any older one.

    When this returns, the files are there, are what the copy says, and survive a loss of power.
    Raises ``CopyRefused`` for a copy that is damaged or names a place outside.
    """
    projects = config_dir / "projects"
    for file in copy.files:
        if hashlib.sha256(file.data).hexdigest() != file.sha256:
            raise CopyRefused("it was damaged on its way")
        _check_place(copy.session_id, file.path)
    remove_session(config_dir, copy.session_id)
    for file in (
        *copy.files[1:],
        copy.files[0],
    ):  # the transcript last: with it the session is there
        place = projects / file.path
        _write(_note_of(place), str(len(file.data)).encode())
        _write(place, file.data)


def copied_bytes(file: Path) -> int:
    """How much of a transcript was copied from elsewhere, from its beginning."""
    try:
        return int(_note_of(file).read_bytes())
    except (OSError, ValueError):
        return 0


def remove_session(config_dir: Path, session_id: str) -> None:
    """Remove a session's files, wherever the CLI has them."""
    projects = config_dir / "projects"
    for transcript in projects.glob(f"*/{session_id}.jsonl"):
        transcript.unlink(missing_ok=True)
        _note_of(transcript).unlink(missing_ok=True)
        subagents = transcript.with_suffix("")
        for path in sorted(subagents.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def _note_of(file: Path) -> Path:
    return file.with_name(f".{file.name}{_COPIED}")


def _file(projects: Path, path: Path, unwanted: frozenset[str]) -> SessionFile:
    data = path.read_bytes()
    if unwanted:
        data = _up_to(data, unwanted)
    return SessionFile(
        path=path.relative_to(projects).as_posix(),
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _up_to(transcript: bytes, unwanted: frozenset[str]) -> bytes:
    """The lines before the first of the unwanted prompts: what follows belongs to failed turns."""
    kept = 0
    for line in transcript.splitlines(keepends=True):
        if any(uuid.encode() in line for uuid in unwanted) and _names(line, unwanted):
            break
        kept += len(line)
    return transcript[:kept]


def _has_turns(transcript: bytes) -> bool:
    """Whether there is a conversation, and not only notes about one: the CLI would not find it."""
    return any("uuid" in message_of(line) for line in transcript.splitlines())


def _names(line: bytes, unwanted: frozenset[str]) -> bool:
    """Whether an entry is one of the prompts, or belongs to one."""
    entry = message_of(line)
    named = ("uuid", "parentUuid", "messageId", "leafUuid")
    return any(entry.get(name) in unwanted for name in named)


def _check_place(session_id: str, path: str) -> None:
    parts = PurePosixPath(path).parts
    is_inside = ".." not in parts and not path.startswith("/") and "\x00" not in path
    belongs = len(parts) >= 2 and parts[1] in {f"{session_id}.jsonl", session_id}
    if not (is_inside and belongs):
        raise CopyRefused("it names a place that is not the session's")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if draft.read_bytes() != data:
        raise CopyRefused("the disk gave back something else")
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
