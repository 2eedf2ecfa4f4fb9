"""Whole pools in this process.

Rule: actors, router and stores are the real classes; Ray is not there, and for the CLI stands
what a test chooses of ``clis``.
"""
