"""The durable stores: one ledger a subscription, one directory for what belongs to none.

``protocol`` says what every store promises; ``sqlite`` is the embedded one. Whoever holds a store
depends on the protocol alone.
"""
