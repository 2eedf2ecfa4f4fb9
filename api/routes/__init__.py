"""The routes, one noun a file. A route reads its arguments and calls the pool's client;
``api.server.app`` includes it.
"""
