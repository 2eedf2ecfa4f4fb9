"""Events of executions on an open connection.

Rule: a caller who hangs up is noticed, and a cursor goes on where it stopped.
"""
