"""Schemas of answers, and which of them the CLI and Anthropic's API take."""
