"""A subscription's actor: it alone owns its ledger, its state, its slots and its queue.

Rule: what is answered is durable first. Others know ``SubscriptionActor`` alone.
"""
