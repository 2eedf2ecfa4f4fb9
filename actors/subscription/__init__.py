"""subscription."""
