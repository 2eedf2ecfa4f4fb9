from __future__ import annotations

import re
from typing import get_args

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from pydantic import BaseModel

from api.dialects import chat, messages, readme
from api.dialects.request import field_support
from api.dialects.request.field_support import FieldSupport, Row
from api.dialects.request.parts import AnyPart


def names(rows: tuple[Row, ...], fate: FieldSupport) -> set[str]:
    return {row.name for row in rows if row.support is fate}


def test_the_readme_says_what_the_tables_say() -> None:
    text = readme.README.read_text(encoding="utf-8")

    assert readme.renewed(text) == text, "run: python -m api.dialects.readme"
    assert len(re.findall("<!-- end -->", text)) == 5


@pytest.mark.parametrize(
    ("rows", "body"),
    [(field_support.MESSAGES, messages.MessagesBody), (field_support.CHAT, chat.ChatBody)],
)
def test_what_is_honoured_is_what_a_body_declares(
    rows: tuple[Row, ...], body: type[BaseModel]
) -> None:
    assert names(rows, FieldSupport.HONOURED) == set(body.model_fields)


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (field_support.MESSAGE_BLOCKS, get_args(AnyPart)),
        (field_support.CHAT_PARTS, get_args(AnyPart)),
    ],
)
def test_what_is_honoured_in_content_is_what_is_declared(
    rows: tuple[Row, ...], parts: tuple[type[BaseModel], ...]
) -> None:
    declared = {kind for part in parts for kind in get_args(part.model_fields["type"].annotation)}

    assert names(rows, FieldSupport.HONOURED) == declared


@pytest.mark.parametrize(
    ("rows", "params"),
    [
        (field_support.MESSAGES, MessageCreateParamsBase),
        (field_support.CHAT, CompletionCreateParamsBase),
    ],
)
def test_every_field_that_the_sdk_knows_stands_in_the_table(
    rows: tuple[Row, ...], params: type
) -> None:
    assert set(params.__annotations__) - {row.name for row in rows} == set()
