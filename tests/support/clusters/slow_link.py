"""Passes frames between two links, each some time after it came: ``slow_link.py ONE OTHER
SECONDS``. It says ``ready`` once it does, and ends when it is told nothing any more.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque

SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING, ETH_P_ALL = 263, 15, 4, 3
"""With the kernel's own header before each frame: checksums that are still to be made, and frames
that are still to be cut, stay so.
"""
LARGEST = 80_000


def main(one: str, other: str, seconds: float) -> None:
    ends = [_opened(one), _opened(other)]
    waiting: deque[tuple[float, socket.socket, bytes]] = deque()
    print("ready", flush=True)  # noqa: T201 - to whoever started this
    while True:
        soon = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([*ends, sys.stdin], [], [], soon)
        if sys.stdin in readable:
            return
        for number, end in enumerate(ends):
            if end in readable:
                frame, (_, _, kind, *_) = end.recvfrom(LARGEST)
                if kind != PACKET_OUTGOING:
                    waiting.append((time.monotonic() + seconds, ends[1 - number], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, to, frame = waiting.popleft()
            try:
                to.send(frame)
            except OSError:  # as a link loses one
                continue


def _opened(name: str) -> socket.socket:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    link.bind((name, ETH_P_ALL))
    return link


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
