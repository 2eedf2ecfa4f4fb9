"""The service as a process of its own, and what it sends to.

Rule: it is reached as its users reach it: by HTTP, signals and files.
"""
