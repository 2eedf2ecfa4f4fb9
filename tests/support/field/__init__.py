"""Cases that were met in the field.

Rule: a case says what was printed and what is to come of it; how it is tried is said once.
"""
