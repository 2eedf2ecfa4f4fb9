"""Stop sequences, which the CLI does not know: the answer is cut where the first one is complete.

The model goes on behind the cut, unseen, and what it writes there is billed. What may still become
a stop sequence is held back, so that an answer is cut at the same place however its text comes in
pieces.
"""

from __future__ import annotations

from collections.abc import Sequence


class Speech:
    """The text of an answer: what the model says goes in, what may be shown comes out.

    With ``at_once`` nothing is shown before the end: what is said before a structured answer is no
    part of it.
    """

    def __init__(self, stops: Sequence[str] = (), *, at_once: bool = False) -> None:
        self._stops = tuple(stops)
        self._at_once = at_once
        self._text = ""
        self._shown = 0
        self.stopped_by: str | None = None
        """The stop sequence that the answer was cut at."""

    def hear(self, piece: str) -> str:
        """Take the next piece; returns what may be shown now."""
        if self._at_once or self.stopped_by is not None:
            return ""
        self._text += piece
        return self._show(is_all=False)

    def end(self, text: str) -> str:
        """Take the whole text; returns what of it was not shown yet."""
        if self.stopped_by is not None:
            return ""
        if text.startswith(self._text):
            self._text = text
        return self._show(is_all=True)

    def _show(self, *, is_all: bool) -> str:
        limit = len(self._text) if is_all else self._settled()
        found = [(start + len(stop), start, stop) for stop, start in self._found()]
        if found:
            _, limit, self.stopped_by = min(found)
        piece, self._shown = self._text[self._shown : limit], limit
        return piece

    def _found(self) -> list[tuple[str, int]]:
        # What could begin one was never shown, so none begins before it.
        places = [(stop, self._text.find(stop, self._shown)) for stop in self._stops]
        return [(stop, start) for stop, start in places if start >= 0]

    def _settled(self) -> int:
        """Up to where no stop sequence can begin any more."""
        size = len(self._text)
        longest = max(map(len, self._stops), default=0)
        for start in range(max(self._shown, size - longest + 1), size):
            if any(stop.startswith(self._text[start:]) for stop in self._stops):
                return start
        return size
