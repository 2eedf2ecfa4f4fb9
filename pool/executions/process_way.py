"""The way in which a run came by its process."""

from __future__ import annotations

from enum import StrEnum


class ProcessWay(StrEnum):
    """Where the process of an attempt came from."""

    COLD = "cold"
    """It was started for the run."""
    AHEAD = "ahead"
    """It had been started ahead of the request, and was claimed for it."""
    KEPT = "kept"
    """It had run the turn before of the same session, and was kept for the next."""
    REUSED = "reused"
    """It had run another session of the same key, and was cleared of it."""
