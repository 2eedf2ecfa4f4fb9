"""The methods of a client, by the noun that they are about: each group is a class that
``PoolClient`` inherits.

Rule: knows the actors by their protocols; a group stands on ``view`` and on no other group.
"""
