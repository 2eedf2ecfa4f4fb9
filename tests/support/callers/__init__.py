"""Who asks a pool for something: clients, people before a screen, callers with tools.

Rule: they know of a pool what it promises in public.
"""
