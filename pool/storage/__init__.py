"""The durable stores: one ledger a subscription, one directory for what belongs to none.

Each store is written once, on the few words of ``database``: named statements in transactions. Two
engines speak them, ``sqlite``, which is embedded, and ``postgresql``, that of a cluster. SQL that
is the same for both stands in ``queries``, the rest with its engine. ``migrate`` brings a pool from
one to the other, in portions (``export`` of each).

Rule: whoever holds a store knows nothing of its engine; ``actors.runtime.factory`` chooses.
"""
