"""A request as it arrives: head, compression, body, arguments.

Rule: bounded in size and time before anything is made of it.
"""
