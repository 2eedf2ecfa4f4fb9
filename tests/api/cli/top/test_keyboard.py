from __future__ import annotations

import pytest

from api.cli.top.keyboard import Keyboard, keys
from api.cli.top.view import Key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1bOB", [Key.UP, Key.DOWN]),
        ("\x1b[5~\x1b[6~", [Key.PAGE_UP, Key.PAGE_DOWN]),
        ("\x1b", [Key.ESCAPE]),
        ("\x1b\te", [Key.ESCAPE, Key.TAB, "e"]),
        ("\x1b[1;5Cy", [Key.OTHER, "y"]),
        ("\x1b[", [Key.OTHER]),
        ("\r\n", [Key.ENTER, Key.ENTER]),
    ],
)
def test_what_a_terminal_sends_is_read_as_keys(text: str, expected: list[str]) -> None:
    assert expected == list(keys(text))


def test_the_bell_ends_the_wait() -> None:
    keyboard = Keyboard(None)
    try:
        keyboard.ring()

        assert keyboard.pressed(60) == []
    finally:
        keyboard.close()
