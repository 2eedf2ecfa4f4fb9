"""`python -m api.demo --port 8787`: the stand-in as a process. Prints its URL on one line; SIGTERM
or SIGINT ends it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import serving


def main() -> None:
    """Serve until a signal stops it; exit 0."""
    parser = argparse.ArgumentParser(prog="python -m api.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    port: int = parser.parse_args().port
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with serving(create_app(), port) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
