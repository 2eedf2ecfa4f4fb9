"""What one run of the CLI is started with: command line, environment, directories, input.

Rule: makes values; ``process`` starts them.
"""
