"""HTTP for all routes: who calls, errors, metrics, traces; see ``request`` and ``stream``.

Rule: knows no route.
"""
