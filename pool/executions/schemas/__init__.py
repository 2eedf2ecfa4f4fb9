"""Schemas of answers, and which of them the CLI and Anthropic's API take.

Rule: pure, and imports nothing of the pool.
"""
