"""The events that wake a supervisor: signals alone, so that one wait is enough, and none is missed.

``SIGCHLD`` comes at the CLI's end and ``SIGTERM`` is a request to end; ``SIGIO`` comes when
something in the process's directory was written or made, and when the CLI's stdin can be written
to. They are blocked and taken one by one: what comes in between is waiting. A directory is watched
by ``F_NOTIFY``, the elder of inotify's: that needs no library, and of inotify's instances a user
has 128 by default, which idle processes would use up.
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the module ``signal`` makes enums for 6 ms

__all__ = ["AWAITED", "Directory", "hold_back", "signal"]

AWAITED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGIO})
_TICK_SECONDS = 0.02
"""Between looks at a directory that cannot be watched."""


def hold_back() -> None:
    """Keep what wakes for whoever waits."""
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)


class Directory:
    """The directory of a process, from where news come."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        news = fcntl.DN_MODIFY | fcntl.DN_CREATE | fcntl.DN_MULTISHOT
        try:
            fcntl.fcntl(self._fd, fcntl.F_NOTIFY, news)
        except OSError:  # a kernel that was built without it
            self._longest = _TICK_SECONDS
        else:
            self._longest = 1e9

    def wait(self, seconds: float) -> bool:
        """Wait for news, and ``seconds`` at the longest; whether it was a request to end."""
        caught = signal.sigtimedwait(AWAITED, min(max(0.0, seconds), self._longest))
        return caught is not None and caught.si_signo == signal.SIGTERM
