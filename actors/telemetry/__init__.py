"""Events, counters, logs and traces of the running pool.

Rule: records what it is given; asks nobody.
"""
