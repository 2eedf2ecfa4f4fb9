"""The sessions of a subscription: what was said in them, and how they get from one to another.

Rule: reads and moves transcripts; stands on ``context`` alone.
"""
