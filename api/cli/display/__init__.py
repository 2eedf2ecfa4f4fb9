"""Reports as tables and bars on a terminal.

Rule: values in, renderables out; asks nobody.
"""
