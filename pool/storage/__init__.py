"""The durable stores: one ledger a subscription, one directory for what belongs to none.

``protocol`` says what every store promises; ``sqlite`` is the embedded one, ``postgresql`` that of
a cluster, and ``migrate`` brings a pool from one to the other. What both do alike stands here: rows
(``rows``, ``documents``), lists (``paging``) and portions (``export``).

Rule: whoever holds a store depends on the protocol alone; ``actors.runtime.factory`` chooses.
"""
