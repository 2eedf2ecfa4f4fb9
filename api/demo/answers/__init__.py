"""Answers of the stand-in: composed, played back in time, or broken."""
