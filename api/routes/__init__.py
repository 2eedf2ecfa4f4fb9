"""The routes, one noun a file. A route reads its arguments and calls the pool's client;
``api.server.app`` includes it.

Rule: one call of the client a route, as a rule; no rule about the pool stands here.
"""
