"""Databases, and rows to write into them.

Rule: the engines are real; what breaks lies between them and the pool.
"""
