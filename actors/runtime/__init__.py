"""Ray: the actors' shells, what they are made of, and where the cluster is.

Rule: the only room that imports ray, and the only one that chooses a store.
"""
