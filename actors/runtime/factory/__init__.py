"""The factory of the actors: what a router, a subscription and a reconciler are made of.

Rule: everything that touches an actor's process (its environment, its disk, its end) is put in its
hands here. ``makers`` cross to that process, and there load what this one actor is made of, and
nothing of the others: of each, 10 MB and a tenth of a second of a core.
"""
