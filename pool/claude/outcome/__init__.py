"""How a run ended and what it cost, from what it printed and how its process ended.

Rule: pure. The answer is the last result that ran a turn.
"""
