"""A line that the CLI printed, or wrote into a file, as the messages in it: the one place where its
text comes in.

A line is one message as a rule. Seen in the field: a terminal's title before a message, warnings of
other programs on the same line, two messages on one. So a line is read from the first brace on, and
on to the next message. A message that is torn ends the reading of its line: what stands inside of
it is its own, and may be anything that a model wrote.
"""

from __future__ import annotations

import json
from typing import Any

from pool.foreign_text import fit, may_be_unfit

MAX_LINE_BYTES = 32 * 1024 * 1024
MOST_STARTS = 16
"""Braces of noise that are tried on one line; a flood of them must not take seconds to refuse."""
_DECODER = json.JSONDecoder()

Message = dict[str, Any]


def messages_of(line: bytes) -> tuple[Message, ...]:
    """The messages of a line, or of the array that it is; none where nothing can be read."""
    if len(line) > MAX_LINE_BYTES or b"{" not in line:
        return ()
    text = line.decode(errors="replace").strip()
    try:
        found = _array(text) if text.startswith("[") else _objects(text)
        return tuple(map(fit, found)) if may_be_unfit(text) else tuple(found)
    except RecursionError:
        return ()


def message_of(line: bytes) -> Message:
    """The only message of a line in a file; an empty one where there is none."""
    found = messages_of(line)
    return found[0] if len(found) == 1 else {}


def _objects(text: str) -> list[Message]:
    found: list[Message] = []
    position = text.find("{")
    for _ in range(MOST_STARTS):
        if position < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, position)
        except ValueError:
            if text.startswith('{"', position):
                break
            end = position + 1
        else:
            found.append(value)
        position = text.find("{", end)
    return found


def _array(text: str) -> list[Message]:
    try:
        value = json.loads(text)
    except ValueError:
        return _objects(text)
    return value if all(isinstance(each, dict) for each in value) else []
