"""Connections to a PostgreSQL: transactions that survive a lost one, the fence, and group commit.

Rule: knows no table but those of the fence; the stores know the rest.
"""
