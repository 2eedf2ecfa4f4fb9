"""The command line, one noun a file. It speaks with a running service over HTTP; only ``serve``,
``doctor`` and ``demo`` touch this machine, and load what they need when they are called.

Rule: a verb prints what the service answers, and decides nothing about the pool.
"""
