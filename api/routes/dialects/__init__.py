"""The routes that the official SDKs call."""
