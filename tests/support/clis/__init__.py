"""What stands where the CLI would, from a script to a fork that answers, and what it prints.

Rule: nothing here knows of a pool.
"""
