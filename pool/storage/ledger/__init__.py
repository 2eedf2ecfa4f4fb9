"""The ledger of one subscription: executions, usage records and their sums, limits and sessions.

Rule: what must happen together is one transaction, and stands in ``ledger``.
"""
