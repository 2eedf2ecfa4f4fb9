"""Routing: which subscription to try first, which sessions to move, and which models there are.

Rule: ranks reports; whoever calls it keeps them.
"""
