"""Which pool a router is of, in the words of a database that several pools may have been given.

Whoever makes a router of a pool has to say the same. So one with a Ray of its own is that of its
data directory, which one service at a time has (``ray_address``): killed and started again at once
it is the same one. Otherwise it is that of a cluster and a namespace in it, wherever its services
are; by the cluster's id, as its address is another one on the node of its head than elsewhere.
"""

from __future__ import annotations

import platform

from actors.runtime import cluster
from pool.config import Config
from pool.nodes.identity import node_id


def holder_of(config: Config) -> str:
    """The pool of a configuration, whose Ray this process has joined. Nobody asks with SQLite: its
    lock is enough.
    """
    if config.pool.store == "sqlite":
        return ""
    name = f"the pool {config.ray.namespace!r}"
    if config.ray.address == "local":
        directory = config.pool.data_dir
        return f"{name} of {directory} on {platform.node()} ({node_id(directory)})"
    return f"{name} of the Ray cluster {cluster.id_()}"
