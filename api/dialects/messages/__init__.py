"""Anthropic's Messages: what is asked, and the answer as a whole or in events."""
