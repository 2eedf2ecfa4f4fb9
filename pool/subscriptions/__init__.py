"""A subscription as values: its specification and state, its health and report, and whether it
admits an execution.

Rule: decides from values and the time it is given; stores nothing, starts nothing, waits for
nothing.
"""
