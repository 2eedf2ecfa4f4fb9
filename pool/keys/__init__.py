"""Keys of callers: what each may do and spend, and whether a request of one may run now.

Rule: decides from values; the router keeps what is reserved, ``pool.storage`` what is spent.
"""
