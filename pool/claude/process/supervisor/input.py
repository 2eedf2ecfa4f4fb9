"""The input that is still to be written to the CLI; never waits for the CLI to read it."""

from __future__ import annotations

import fcntl
import os

_SET_PIPE_SIZE = 1031
_PIPE_BYTES = 1 << 20
"""A prompt of 1 MB goes in one piece."""


class Input:
    """The CLI's stdin. ``SIGIO`` comes when it can be written to again."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._pending = bytearray()
        self.ends = False
        os.set_blocking(fd, False)
        try:
            fcntl.fcntl(fd, _SET_PIPE_SIZE, _PIPE_BYTES)
        except OSError:  # beyond what this user may have in pipes
            pass
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)

    def give(self, lines: bytes) -> None:
        if not self.ends:
            self._pending += lines

    def end(self, last_words: bytes = b"") -> None:
        """Let the input end after what was given so far and ``last_words``."""
        self.give(last_words)
        self.ends = True

    def pump(self) -> None:
        """Write what the pipe takes now."""
        if self._fd is None:
            return
        try:
            while self._pending:
                del self._pending[: os.write(self._fd, self._pending)]
        except BlockingIOError:
            return
        except OSError:  # the CLI does not read any more
            self.ends = True
        if self.ends:
            os.close(self._fd)
            self._fd = None
