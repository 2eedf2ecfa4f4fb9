"""What actors say to each other: the protocols of each, and the messages that cross.

Rule: no behaviour.
"""
