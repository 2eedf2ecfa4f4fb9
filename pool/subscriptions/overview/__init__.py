"""All subscriptions at one glance: sums, a verdict, and what somebody should look at.

Rule: pure, from reports alone.
"""
