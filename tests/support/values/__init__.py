"""Values by builders.

Rule: a call names what matters to its test, and nothing else.
"""
