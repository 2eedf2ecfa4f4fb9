"""The routes of whoever operates the pool: alerts, backups, events, metrics, probes, telemetry.

Rule: as in ``api.routes``.
"""
