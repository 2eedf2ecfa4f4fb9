"""Processes of the CLI: a supervisor that outlives everybody, and runs that are adopted after a
restart.

Rule: the only room that spawns a run and ends a process.
"""
