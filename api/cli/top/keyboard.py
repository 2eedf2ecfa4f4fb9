"""Keys as they are pressed, without waiting for a line; and a bell that ends the wait for one."""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from api.cli.top.view import Key

_CODES = {
    "\x1b[A": Key.UP,
    "\x1bOA": Key.UP,
    "\x1b[B": Key.DOWN,
    "\x1bOB": Key.DOWN,
    "\x1b[5~": Key.PAGE_UP,
    "\x1b[6~": Key.PAGE_DOWN,
    "\x1b[H": Key.HOME,
    "\x1b[1~": Key.HOME,
    "\x1b[F": Key.END,
    "\x1b[4~": Key.END,
}
_CHARACTERS = {"\t": Key.TAB, "\r": Key.ENTER, "\n": Key.ENTER, "\x1b": Key.ESCAPE}
_SEQUENCES = ("\x1b[", "\x1bO")
_MOST_BYTES = 1024


def keys(text: str) -> Iterator[str]:
    """The keys of what a terminal has sent: characters, or names of ``Key``."""
    while text:
        if text.startswith(_SEQUENCES):
            size = _length(text)
            yield _CODES.get(text[:size], Key.OTHER)
        else:
            size = 1
            yield _CHARACTERS.get(text[0], text[0])
        text = text[size:]


def _length(text: str) -> int:
    """Of the control sequence at the beginning: to its first letter or tilde."""
    ends = (at for at, each in enumerate(text[2:], start=3) if each.isalpha() or each == "~")
    return next(ends, len(text))


class Keyboard:
    """The keys of a terminal; without one only the bell is heard."""

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def close(self) -> None:
        os.close(self._heard)
        os.close(self._rung)

    def ring(self, *_: Any) -> None:
        """End the wait; from any thread, and as a signal's handler."""
        with suppress(BlockingIOError, OSError):
            os.write(self._rung, b"\0")

    def pressed(self, wait_seconds: float) -> list[str]:
        """The keys until the bell rings or the time is over."""
        sources = [self._heard] if self._terminal is None else [self._heard, self._terminal]
        ready, _, _ = select.select(sources, [], [], wait_seconds)
        if self._heard in ready:
            with suppress(BlockingIOError):
                os.read(self._heard, _MOST_BYTES)
        if self._terminal not in ready or self._terminal is None:
            return []
        text = os.read(self._terminal, _MOST_BYTES)
        return list(keys(text.decode(errors="replace"))) if text else ["q"]


@contextmanager
def keyboard(terminal: int | None) -> Iterator[Keyboard]:
    """The keys of the terminal, which is put back as it was; it rings when the size changes."""
    made = Keyboard(terminal)
    before = None if terminal is None else termios.tcgetattr(terminal)
    old = signal.signal(signal.SIGWINCH, made.ring)
    try:
        if terminal is not None:
            tty.setcbreak(terminal)
        yield made
    finally:
        signal.signal(signal.SIGWINCH, old)
        if terminal is not None and before is not None:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        made.close()
