"""A week of a pool in virtual time.

Rule: everything follows from a seed, and the witness judges by rules of his own.
"""
