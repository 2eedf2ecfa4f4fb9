"""The directory, which belongs to no subscription: the registry, the index of executions and
sessions, the keys of callers, and the outbox of alerts.

Rule: several routers may share it; unique keys, and updates on a condition, decide between them.
"""
