"""Processes of the CLI: a supervisor that outlives everybody, and runs that are adopted after a
restart.

Rule: the only room that spawns a run, and that ends a run's process. The short questions to the CLI
are processes of ``binary.locate``, which sees each to its end.
"""
