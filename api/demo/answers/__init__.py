"""Answers of the stand-in: composed, played back in time, or broken.

Rule: knows the stand-in alone, and nothing of the pool.
"""
