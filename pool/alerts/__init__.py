"""Alerts: which conditions raise one, and how a webhook is signed, checked and retried.

Rule: decides from reports; sends nothing.
"""
