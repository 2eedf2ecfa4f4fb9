"""Processes that have nothing to do: kept with their session, or started ahead of one.

Rule: gives a run a process that is there, or none; whatever is odd about one ends it.
"""
