"""The reconciler's actor: it alone compares the pool's records with Anthropic's reports.

Rule: reads and adjusts ledgers through their subscriptions.
"""
