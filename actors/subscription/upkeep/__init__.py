"""A subscription's work beside its executions, by the clock or on a report: it removes what
is too old to keep, and looks after its login, its limits, and costs that are in doubt.
"""
