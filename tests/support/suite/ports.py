"""Ports of this machine that nobody has, and that nobody is likely to get meanwhile."""

from __future__ import annotations

import random
import socket

_PORTS = range(20_000, 32_000)
"""Below those that the kernel gives out and above those that a Ray takes for its workers. Taken at
random, since other tests run at the same time: for them too it is free until it is listened to.
"""
_chance = random.SystemRandom()  # Hypothesis seeds the other one alike in every process


def free_port() -> int:
    while True:
        port = _chance.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
