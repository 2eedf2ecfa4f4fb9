"""The client of the pool, asynchronous and blocking: what programs and the HTTP layer call.

Rule: keeps nothing that a caller's death would lose.
"""
