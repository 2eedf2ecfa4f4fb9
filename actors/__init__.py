"""What runs: subscriptions, the router, the reconciler, and the client that calls them.

Rule: everything here works without Ray but ``runtime``, which makes actors of it. What a program
needs is here, and only these import paths are public: ``from actors import connect, PoolClient,
BlockingPoolClient``. They are loaded when they are named: Ray takes a second.

``G1`` to ``G12`` in docstrings are the guarantees that deploy/guarantees.md defines; ``T1`` and
``T2`` are the two transactions of an execution, before its run and after it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.client.blocking import BlockingPoolClient
    from actors.client.client import PoolClient
    from actors.runtime.connecting import connect

__all__ = ["BlockingPoolClient", "PoolClient", "connect"]

_MODULES = {
    "BlockingPoolClient": "actors.client.blocking",
    "PoolClient": "actors.client.client",
    "connect": "actors.runtime.connecting",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'actors' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
