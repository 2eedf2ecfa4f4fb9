"""Text that every store, client and terminal can take.

JSON may spell half of a surrogate pair, or NUL. Python keeps both in a ``str``; UTF-8 has no form
for the first, and PostgreSQL none for the second. So one character of an answer could make it, and
every list that it stands in, impossible to send.
"""

from __future__ import annotations

import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNFIT = re.compile("[\ud800-\udfff\0]")
_SPELT = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
"""How JSON spells what is unfit; whole pairs are spelt like that too."""


def may_be_unfit(json_text: str) -> bool:
    """Whether a JSON text may spell an unfit character; rarely true, and cheap to find out."""
    return _SPELT.search(json_text) is not None


def fit(value: Any) -> Any:
    """A parsed JSON value with each unfit character replaced by U+FFFD, in keys too."""
    match value:
        case str():
            return _UNFIT.sub(REPLACEMENT, value)
        case dict():
            return {fit(name): fit(each) for name, each in value.items()}
        case list():
            return [fit(each) for each in value]
        case _:
            return value
