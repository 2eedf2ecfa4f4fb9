"""What actors say to each other: a protocol for each, where they are found, and the messages that
cross.

Rule: no behaviour.
"""
