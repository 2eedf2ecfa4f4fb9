"""The Claude CLI: finding it, starting it, reading it, and what a run of it came to.

Leniency towards what the CLI prints lives here and nowhere else. Facts about the CLI (2.1.330 and
2.1.197) stand where they shape a line.

Rule: everything but ``binary`` and ``process`` is pure or reads files alone.
"""
