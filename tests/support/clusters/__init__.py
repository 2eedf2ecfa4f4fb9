"""Clusters of Ray, and hosts with links between them.

Rule: what a test starts ends with it, on every host.
"""
