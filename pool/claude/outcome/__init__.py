"""The outcome of a run and its cost, from what it printed and how its process ended.

Rule: pure. The answer is the last result that ran a turn.
"""
