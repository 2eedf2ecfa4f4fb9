"""OpenAI's Chat Completions: what is asked, and the answer as a whole or in chunks.

Rule: pure; knows what all dialects share, and no other dialect.
"""
