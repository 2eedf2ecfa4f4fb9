"""Guesses at keys: how many unknown ones an address may show before it has to wait.

A key has 256 bits, so that nobody finds one by trying; but the pool is asked about each, and who
asks often enough keeps it busy. An address has a bucket of guesses that fills up again by the
clock. Who shows a key that opened the pool lately is never held up by others behind its address.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from pool.errors import PoolError

BURST = 20
"""Guesses in a row: a client that was given the wrong key, with its retries, many times over."""
PER_SECOND = 1.0
MOST_ADDRESSES = 10_000
_NETWORK_BITS = 64
"""Of an IPv6 address: the rest is its owner's to choose."""


class TooManyGuesses(PoolError):
    """An address from which many unknown keys came."""

    def __str__(self) -> str:
        return "too many unknown keys came from this address: wait, or send a key that is known"


class Guesses:
    """The buckets of all addresses, each as the instant at which it is full again."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._full_at: dict[str, float] = {}

    def check(self, address: str) -> None:
        """Raise ``TooManyGuesses`` where an address has none left."""
        if self._full_at.get(_owner(address), 0.0) - self._timer() > (BURST - 1) / PER_SECOND:
            raise TooManyGuesses

    def count(self, address: str) -> None:
        """Note a guess that was wrong."""
        if len(self._full_at) >= MOST_ADDRESSES:
            self._forget()
        owner, now = _owner(address), self._timer()
        self._full_at[owner] = max(self._full_at.get(owner, 0.0), now) + 1 / PER_SECOND

    def _forget(self) -> None:
        """Those that are full again; all, where nobody is."""
        now = self._timer()
        left = {owner: at for owner, at in self._full_at.items() if at > now}
        self._full_at = left if len(left) < MOST_ADDRESSES else {}


def _owner(address: str) -> str:
    """The network that an address belongs to: all its addresses may be one caller's."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return address
    return str(known.ipv4_mapped or int(known) >> (128 - _NETWORK_BITS))
