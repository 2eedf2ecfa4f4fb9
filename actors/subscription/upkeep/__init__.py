"""What a subscription does beside its executions, by the clock or on what it hears: it removes what
is too old to keep, and looks after its login, its limits, and costs that are in doubt.
"""
