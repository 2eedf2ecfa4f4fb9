"""The consequences of a run's end for its subscription: its standing, what it refuses for a model,
whether another subscription tries, and what is settled.

Rule: decides from values and the time it is given; knows executions and their outcomes, and nothing
else of a subscription.
"""
