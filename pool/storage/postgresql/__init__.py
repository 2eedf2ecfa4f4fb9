"""The stores of a cluster: PostgreSQL, one schema for all subscriptions and the directory.

Here no lock of a kernel keeps a second owner out: an activation takes a subscription over by
raising its epoch, whoever had it, and the earlier one is shut out by its next write. The first
statement of every transaction that writes is an update on the condition that the epoch is still its
own (``fence``). A plain ``SELECT`` of the epoch let a stale write through when it was tried; the
update did not, since it holds the owner's row until the commit, and a takeover waits for that row.
An owner that freezes inside a transaction cannot draw this out: the server ends a session that
idles in one for two seconds. For the same reason no pooler in transaction mode may stand in front.

Every commit is durable before its reply; calls of a subscription at the same time share one
(``commits``). A server that is away fails calls within a bounded time, and serves them again when
it is back, without a new activation (``transactions``).

Each process uses up to four connections, however many stores it holds, and as a rule two; after ten
seconds without a statement they are given back. So ``max_connections`` of the server has to allow
for four of each subscription that is at work at the same time, and four a router, at the very most.

Rule: everything that speaks to PostgreSQL; only ``actors.runtime.factory`` names it.
"""

from pool.storage.postgresql.stores import PostgresqlStores

__all__ = ["PostgresqlStores"]
