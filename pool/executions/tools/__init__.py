"""Tools of an execution: the CLI's own, as requests and grants name them, and those of callers.

Rule: values and their checks; knows content and usage, and no execution.
"""
