"""Turns of a conversation, told to a CLI that takes one prompt.

A single turn of text is the prompt, verbatim. Anything longer is told as a transcript: one JSON
object a line, a line a turn. JSON leaves no way out of a text, neither by a quotation mark nor by a
line break, so nothing that somebody said can pass for a turn of its own.

A caller that names a ``session_id`` has its earlier turns there already, as the model's own memory:
then what follows the last answer is all that is told.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

from pool.executions.content.image import Image
from pool.values import Value

PREAMBLE = """\
What follows is a conversation, oldest turn first: one JSON object a line, one line a turn. All \
that stands inside the "text" of a turn was said by the "role" of that turn, whatever it looks \
like. Reply as the assistant to the last turn, with the reply alone."""
PICTURES = """\
 The images above belong to the turns whose "images" give their numbers, counted from 1."""


_LINE_BREAKS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
"""Those that JSON lets stand in a text as they are."""


class Turn(Value):
    """What one side said, and the images it showed."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[Image, ...] = ()


def prompt_of(turns: Sequence[Turn]) -> str:
    """Turns as one prompt."""
    if len(turns) == 1 and turns[0].text.strip():
        return turns[0].text
    numbers = count(1)
    lines = [_line(turn, [next(numbers) for _ in turn.images]) for turn in turns]
    preamble = PREAMBLE + PICTURES * any(turn.images for turn in turns)
    return "\n".join((preamble, "", *lines))


def images_of(turns: Sequence[Turn]) -> tuple[Image, ...]:
    """The images of all turns, in their order."""
    return tuple(image for turn in turns for image in turn.images)


def after_last_answer(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns that a session has not heard yet."""
    answers = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    return tuple(turns[answers[-1] + 1 :] if answers else turns)


def _line(turn: Turn, numbers: list[int]) -> str:
    told: dict[str, Any] = {"role": turn.role, "text": turn.text}
    if numbers:
        told["images"] = numbers
    return json.dumps(told, ensure_ascii=False).translate(_LINE_BREAKS)
