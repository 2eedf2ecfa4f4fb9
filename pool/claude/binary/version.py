"""Versions of the CLI, and the oldest one that the pool trusts with a prompt."""

from __future__ import annotations

import re
from typing import NamedTuple


class CliVersion(NamedTuple):
    """A release of the CLI; later releases compare greater."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> CliVersion:
        """Read what ``claude --version`` prints, ``2.1.330 (Claude Code)``; else ValueError."""
        found = re.match(r"\s*v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})\b", text)
        if found is None:
            raise ValueError("no version of the Claude CLI")
        major, minor, patch = found.groups()
        return cls(int(major), int(minor), int(patch))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


MINIMUM = CliVersion(2, 1, 267)
"""Each of these is needed, and the last to come was ``--system-prompt-snapshot``:
``client_composed`` (2.1.248), without which ``@/path`` in a prompt uploads that file;
``--permission-prompts`` (2.1.259) and ``--restricted``, without which a run is not closed."""


def refusal(version: CliVersion) -> str | None:
    """Why this version is not run; None where it is recent enough."""
    if version >= MINIMUM:
        return None
    return (
        f"the Claude CLI {version} is too old: {MINIMUM} is the first to deliver prompts verbatim "
        "and to close a run off from local files; install a newer one, or name one in claude.path"
    )
