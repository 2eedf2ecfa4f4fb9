"""The end of a run's process, known without its output."""

from __future__ import annotations

from enum import StrEnum

from pool.values import Value


class EndedBy(StrEnum):
    """Why a run was made to end; the words stand in the run's ``ended`` file."""

    REQUEST = "request"
    DEADLINE = "deadline"
    OUTPUT_LIMIT = "output_limit"
    LINGERED = "lingered"
    """It had given its result, and would not exit."""


class Ending(Value):
    """The end of a run's process."""

    started: bool = True
    """False: no CLI ever ran, so nothing can have been spent."""
    exit_code: int | None = None
    signal: int | None = None
    """Exit code and signal are both None where nobody was left to see the end."""
    ended_by: EndedBy | None = None
    problem: str | None = None
    """Why nothing was started; safe to show."""
    is_unfit: bool = False
    """Whether that is something of the subscription's own, which will stay until it is mended."""
    stderr: str = ""
    """The beginning of the CLI's stderr; not safe to show as it is."""
    may_have_lost_output: bool = False
    """Whether the machine went down with it: what it printed last may be gone with the power."""
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
