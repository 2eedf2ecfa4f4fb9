"""What is injected, and what must be so whatever happened.

Rule: who injects a fault does not judge what came of it.
"""
