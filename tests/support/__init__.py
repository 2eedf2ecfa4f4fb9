"""What the tests stand on.

Rule: whole pools stand above what they are made of; ``pyproject.toml`` has the order.
"""
