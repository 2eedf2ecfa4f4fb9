"""The routes that the official SDKs call.

Rule: as in ``api.routes``; what a body means stands in ``api.dialects``.
"""
