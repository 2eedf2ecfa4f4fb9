"""How the tests run: side by side, for how long, and where their files are.

Rule: nothing here knows what is tested.
"""
