"""The tables of README.md, made from what the code goes by: ``python -m api.dialects.readme``."""

from __future__ import annotations

import re
from pathlib import Path

from api.dialects import error_format
from api.dialects.request import field_support
from api.dialects.responses import fields

README = Path(__file__).with_name("README.md")
_PLACE = re.compile(r"(<!-- ([a-zA-Z_.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """The text, with every table as it must be."""
    tables = {
        "field_support.MESSAGES": field_support.table(field_support.MESSAGES),
        "field_support.MESSAGE_BLOCKS": field_support.table(field_support.MESSAGE_BLOCKS),
        "field_support.CHAT": field_support.table(field_support.CHAT),
        "field_support.CHAT_PARTS": field_support.table(field_support.CHAT_PARTS),
        "fields.RESPONSES": field_support.table(fields.RESPONSES),
        "fields.RESPONSE_ITEMS": field_support.table(fields.RESPONSE_ITEMS),
        "fields.RESPONSE_PARTS": field_support.table(fields.RESPONSE_PARTS),
        "error_format": error_format.table(),
    }
    return _PLACE.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
