"""Forks supervisors: a process with all that a supervisor imports, so that none has to start a
Python, which takes 20 ms of CPU.

zygote FOLDER OF ITS SUBSCRIPTION'S RUNS

It reads its orders from a socket, its standard input: what to start in a message, with the
descriptors that go with it, of the process's lock and of its working directory; and answers one
byte, once the supervisor has left it or was not started. It ends with the socket, and with those
that nobody has used for long. What it forks depends on it no more than on whoever asked.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from . import (
    supervision,  # noqa: F401 - loaded once, for all
)
from .main import LOCK_FD, main

WORK_FD = 4
MOST_BYTES = 200_000
"""Of a message: less than a socket takes in one piece."""
IDLE_SECONDS = 600.0
STARTED, NOT_STARTED = b"1", b"0"
_ASIDE = 10


def serve() -> None:
    """Fork a supervisor for each message, until the socket ends."""
    with socket.socket(fileno=0) as requests:
        requests.settimeout(IDLE_SECONDS)
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(requests, MOST_BYTES, 2)
            except TimeoutError:
                requests.shutdown(socket.SHUT_RD)  # what was sent before is still read
                continue
            if not message:
                os._exit(0)  # at once: whoever looks for what is left finds nothing
            pid = os.fork()
            if pid == 0:
                wanted = json.loads(message)
                _become(wanted["arguments"], wanted["environment"], *fds)
            for fd in fds:
                os.close(fd)
            _, status = os.waitpid(pid, 0)
            requests.sendall(STARTED if status == 0 else NOT_STARTED)


def _become(arguments: list[str], environment: dict[str, str], lock: int, work_dir: int) -> None:
    """In the child: be the supervisor of a process; see ``main``, which leaves it at once."""
    try:
        os.setsid()
        errors = os.open(f"{arguments[0]}/stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDWR)
        lock_aside, work_aside = (os.dup2(fd, _ASIDE + fd) for fd in (lock, work_dir))
        places = {0: nothing, 1: nothing, 2: errors, LOCK_FD: lock_aside, WORK_FD: work_aside}
        for number, fd in places.items():
            os.dup2(fd, number)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = arguments
        main()
        code = 0
    except BaseException:  # noqa: BLE001 - printed for whoever asked, or for nobody any more
        sys.excepthook(*sys.exc_info())
        code = 1
    os._exit(code)
