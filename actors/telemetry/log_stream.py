"""The stream of a process: all that it says, as JSON lines, in a file of its own that a collector
can read.

Its log goes there, and so does what others write to standard error, line by line: Ray, a library, a
traceback. Standard error itself is a pipe into this process from then on; the real one gets the
same lines where that is asked for, and no others. A file holds so much and is then begun anew, with
the one before next to it.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import re
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from actors.telemetry import logs
from actors.telemetry.logs import Sink

FOLDER = "logs"
"""Below the data directory."""
SUFFIX = ".jsonl"
BEFORE = ".1"
"""Of the name of the file before."""
MAX_FILE_BYTES = 5_000_000
MAX_LINE_BYTES = 64_000
"""Of what others write: a longer line is cut into several."""
PIPE_BYTES = 1 << 20
"""Room for what is written while this process cannot read it, such as a stack of native code."""
END_SECONDS = 1.0
"""For what stands in the pipe at the end of the process."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_END = b"\x00end of standard error\x00"

others = logging.getLogger("standard error")


class LogFile:
    """A file of lines for its user alone. What cannot be written goes to a sink instead."""

    def __init__(self, path: Path, otherwise: Sink) -> None:
        self._path = path
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._file: int | None = None

    def __call__(self, line: bytes) -> None:
        try:
            with self._lock:
                os.write(self._opened(), line)
        except OSError:
            self._otherwise(line)

    def _opened(self) -> int:
        """The file, begun anew where it is full. A line goes to its end in one piece, whoever else
        writes there.
        """
        if self._file is not None and (self._is_elsewhere(self._file) or self._is_full(self._file)):
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self._file

    def _is_full(self, file: int) -> bool:
        """Whether it was; then it stands where the one before stood."""
        if os.fstat(file).st_size < MAX_FILE_BYTES:
            return False
        self._path.replace(self._path.with_name(self._path.name + BEFORE))
        return True

    def _is_elsewhere(self, file: int) -> bool:
        """Whether somebody has moved it away, or removed it."""
        try:
            return self._path.stat().st_ino != os.fstat(file).st_ino
        except FileNotFoundError:
            return True


class _Descriptor:
    """The sink of a descriptor: whole lines, one after the other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def __call__(self, line: bytes) -> None:
        with self._lock, suppress(OSError):
            while line:
                line = line[os.write(self._descriptor, line) :]


def stream_of(data_dir: Path, name: str) -> Path:
    """The stream of a process, by what that is."""
    return data_dir / FOLDER / f"{name.replace(':', '-')}{SUFFIX}"


def begin(level: str, path: Path, *, echo: bool) -> Sink:
    """Have all that this process says from now on go to a stream, and, with ``echo``, to standard
    error; the sink of that.
    """
    real = os.dup(2)
    echoed = _Descriptor(real)
    file = LogFile(path, _nowhere if echo else echoed)
    file(b"")  # it is there for a collector, whatever there is to say
    logs.configure(level, *([echoed] if echo else []), file)
    sys.excepthook = _unhandled
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable
    _capture(real)
    return echoed


def _nowhere(_: bytes) -> None:
    """It stands on standard error already."""


def _capture(real: int) -> None:
    """Let standard error be a pipe, and what comes out of it become events."""
    reads, writes = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(reads, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    sys.stderr.flush()
    os.dup2(writes, 2)
    telling = threading.Thread(target=_tell, args=(reads,), name="standard error", daemon=True)
    telling.start()
    atexit.register(_release, real, writes, telling)


def _release(real: int, writes: int, telling: threading.Thread) -> None:
    """Give standard error back, once what was written to it has become events."""
    sys.stderr.flush()
    os.dup2(real, 2)
    os.write(writes, b"\n" + _END + b"\n")
    telling.join(END_SECONDS)


def _tell(reads: int) -> None:
    rest = b""
    while True:
        *lines, rest = (rest + os.read(reads, MAX_LINE_BYTES)).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if line == _END:
                return
            if text := _COLOURS.sub("", line.decode(errors="replace")).rstrip():
                others.warning("written to standard error", extra={"text": text})


def _unhandled(
    kind: type[BaseException], error: BaseException, place: TracebackType | None
) -> None:
    others.critical("unhandled error", exc_info=(kind, error, place))


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        error = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        name = failed.thread.name if failed.thread else None
        others.error("thread failed", exc_info=error, extra={"thread_name": name})


def _unraisable(failed: Any) -> None:
    error = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    others.error("error ignored", exc_info=error if failed.exc_value is not None else None)
