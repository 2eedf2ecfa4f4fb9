"""A spinner on standard error that says what is waited for, and how long by now.

Only a terminal shows it: what is piped or kept in a file stays clean.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from api.cli.display.board import span


class Waiting:
    """What is waited for, from entering to leaving, or to the first thing that is printed."""

    def __init__(self, console: Console, text: str) -> None:
        self._text = text
        self._began = time.monotonic()
        self._status = console.status(self) if console.is_terminal else None

    def __rich__(self) -> Text:
        text = Text(f"{self._text}, ", style="dim")
        return text.append(span(time.monotonic() - self._began))

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over()

    def for_(self, text: str) -> None:
        """Wait for something else from now on."""
        self._text, self._began = text, time.monotonic()

    def over(self) -> None:
        """Nothing is waited for any more: the line belongs to what comes."""
        if self._status is not None:
            self._status.stop()
