"""The Admin API's stand-in, and what is compared with it.

Rule: its figures follow from what was billed, and not from what the pool has counted.
"""
