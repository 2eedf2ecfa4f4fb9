"""Where a test finds what lies beside the code, wherever the test itself stands."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures"
CLI_RUNS = FIXTURES / "claude-cli-2.1.330"
"""Captured runs of the real CLI, a folder each."""
