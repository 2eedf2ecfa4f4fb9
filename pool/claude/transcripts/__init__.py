"""The CLI's transcripts and telemetry: finding, copying and reading them, also those of others.

Rule: reads files of a config directory; spends nothing.
"""
