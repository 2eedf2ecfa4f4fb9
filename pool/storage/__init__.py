"""The durable stores: one ledger a subscription, one directory for what belongs to none.

``protocol`` says what every store promises; ``sqlite`` is the embedded one, ``postgresql`` that of
a cluster, and ``moving`` brings a pool from one to the other. What both do alike stands here: what
rows (``rows``, ``documents``), lists (``lists``, ``cursors``) and portions (``exports``) look like.
Whoever holds a store depends on the protocol alone.
"""
