"""The Claude CLI: its command line and environment, its output, its processes.

Leniency towards what the CLI prints lives here and nowhere else. Facts about the CLI (2.1.330 and
2.1.197) are told where they shape a line.
"""
