"""Foreign text, made fit for every store, client and terminal.

JSON may spell half of a surrogate pair, or NUL. Python keeps both in a ``str``; UTF-8 has no form
for the first, and PostgreSQL none for the second. Python's JSON also reads ``NaN``, numbers beyond
all bounds and any depth, which cannot be sent. So one character of an answer could make it, and
every list that it stands in, impossible to send.
"""

from __future__ import annotations

import math
import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MOST_DEEP = 100
"""Levels of a value; beyond 255 pydantic sends none. What is deeper is replaced as a whole."""
_UNFIT = re.compile("[\ud800-\udfff\0]")
_SPELT = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)|NaN|Infinity|\d[eE]\+?\d{3}")
"""How JSON spells what is unfit; whole pairs are spelt like that too."""


def may_be_unfit(json_text: str) -> bool:
    """Whether a JSON text may spell an unfit value; seldom true, and cheap to find out."""
    begun = json_text.count("{") + json_text.count("[")
    return begun > MOST_DEEP or _SPELT.search(json_text) is not None


def fit(value: Any, deep: int = MOST_DEEP) -> Any:
    """A parsed JSON value with each unfit character replaced by U+FFFD, in keys too, as is what
    lies deeper than ``deep``; a number that is none is null.
    """
    match value:
        case str():
            return _UNFIT.sub(REPLACEMENT, value)
        case float():
            return value if math.isfinite(value) else None
        case dict() | list() if deep == 0:
            return REPLACEMENT
        case dict():
            return {fit(name): fit(each, deep - 1) for name, each in value.items()}
        case list():
            return [fit(each, deep - 1) for each in value]
        case _:
            return value
