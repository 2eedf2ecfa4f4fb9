"""A subscription's work beside its executions, by the clock or on a report: it removes what
is too old to keep, and looks after its login, its limits, and costs that are in doubt.

Rule: stands on ``context`` and ``correction``; ``subscription`` begins each task.
"""
