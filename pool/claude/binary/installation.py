"""The CLI as it is installed at the moment.

It is found anew for every run, and its version asked once a binary: one that is installed, upgraded
or removed while the pool runs is noticed by the next run.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pool.claude.binary.locate import FIELD, find_executable, read_version
from pool.claude.binary.version import refusal
from pool.errors import ConfigError


class Installation:
    """Where the CLI is looked for: the configured path, PATH, then the SDK's package."""

    def __init__(self, configured: str | None, search_path: str | None) -> None:
        self._configured = configured
        self._search_path = search_path
        self._trusted: tuple[Path, int, int] | None = None

    async def executable(self) -> Path:
        """The binary to run. ConfigError where there is none, or only one that is too old."""
        binary = await asyncio.to_thread(self._found)
        path, *_ = binary
        if binary != self._trusted:
            problem = refusal(await read_version(path))
            if problem is not None:
                raise ConfigError(FIELD, problem)
            self._trusted = binary
        return path

    def _found(self) -> tuple[Path, int, int]:
        """The binary, and what changes with another version of it. PATH may be slow to look at."""
        path = find_executable(self._configured, search_path=self._search_path)
        status = path.stat()
        return path, status.st_mtime_ns, status.st_size
