"""What runs: subscriptions, the router, and the client that speaks with them.

``Subscription`` and ``Router`` are plain asynchronous classes that are constructed with what they
need; ``remote`` wraps them in Ray actors, and ``PoolClient`` is how everybody else, inside or
beside the cluster, reaches them.
"""
