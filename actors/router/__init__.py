"""The router's actor: it ranks subscriptions, dispatches executions and keeps the registry.

Rule: holds nothing that cannot be had again. Others know ``RouterActor`` alone.
"""
