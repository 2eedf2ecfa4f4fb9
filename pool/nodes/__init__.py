"""The machines of a pool: what each is called for good, what it has, and who can run where.

Rule: decisions of values, and reading what this very machine has. Where the others are, and how
they are asked, is the runtime's.
"""
