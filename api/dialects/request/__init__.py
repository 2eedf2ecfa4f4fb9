"""A dialect's request as one to the pool, and what becomes of each of its fields.

Rule: makes an ``ExecutionRequest`` or an error that names the caller's field.
"""
