"""Anthropic's Messages: what is asked, and the answer as a whole or in events.

Rule: pure; knows what all dialects share, and no other dialect.
"""
