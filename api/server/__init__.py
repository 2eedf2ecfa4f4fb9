"""The HTTP service: its application, its socket, and the check before it is started.

Rule: the only room that opens a port.
"""
