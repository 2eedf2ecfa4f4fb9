"""The start of a run of the CLI: its command line, environment, directories and input.

Rule: makes values; ``process`` starts them.
"""
