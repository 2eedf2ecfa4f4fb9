"""Commands of whoever runs a pool: they look after its machines, its records and its logs.

Rule: as that of ``api.cli``; ``doctor`` and ``migrate-store`` look at this machine themselves.
"""
