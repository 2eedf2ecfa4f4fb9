"""Proxies that a machine names in its environment, and the hosts that must not go through them."""

from __future__ import annotations

from collections.abc import Mapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
"""Programs differ in which of the two they read, and which goes first."""


def proxies(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the variables that send requests through a proxy."""
    return tuple(sorted(name for name in environ if name.lower() in _PROXIES and environ[name]))


def sparing_loopback(environ: Mapping[str, str]) -> dict[str, str]:
    """What to set so that this machine itself is reached without a proxy; nothing where there is
    none. A proxy would look for the pool, or for a gateway next to it, on its own machine.
    """
    if not proxies(environ):
        return {}
    named = [each.strip() for name in _EXCEPTIONS for each in environ.get(name, "").split(",")]
    if "*" in named:
        return {}
    merged = ",".join(dict.fromkeys([*filter(None, named), *LOOPBACK]))
    return dict.fromkeys(_EXCEPTIONS, merged)
