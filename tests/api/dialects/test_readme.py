from __future__ import annotations

import re
from pkgutil import resolve_name
from typing import get_args

import pytest
from pydantic import BaseModel

from api.dialects import readme
from api.dialects.chat.request import ChatBody
from api.dialects.messages.request import MessagesBody
from api.dialects.request import field_support
from api.dialects.request.field_support import FieldSupport, Row
from api.dialects.request.parts import AnyPart
from api.dialects.responses import fields
from api.dialects.responses.request import (
    FunctionCall,
    FunctionCallOutput,
    InputMessage,
    ItemReference,
    ResponsesBody,
)


def names(rows: tuple[Row, ...], fate: FieldSupport) -> set[str]:
    return {row.name for row in rows if row.support is fate}


def test_the_readme_says_what_the_tables_say() -> None:
    text = readme.README.read_text(encoding="utf-8")

    assert readme.renewed(text) == text, "run: python -m api.dialects.readme"
    assert len(re.findall("<!-- end -->", text)) == 8


@pytest.mark.parametrize(
    ("rows", "body"),
    [
        (field_support.MESSAGES, MessagesBody),
        (field_support.CHAT, ChatBody),
        (fields.RESPONSES, ResponsesBody),
    ],
)
def test_what_is_honoured_is_what_a_body_declares(
    rows: tuple[Row, ...], body: type[BaseModel]
) -> None:
    honoured = {name for name in names(rows, FieldSupport.HONOURED) if "." not in name}

    assert honoured == set(body.model_fields)


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (field_support.MESSAGE_BLOCKS, get_args(AnyPart)),
        (field_support.CHAT_PARTS, get_args(AnyPart)),
        (fields.RESPONSE_PARTS, get_args(AnyPart)),
        (fields.RESPONSE_ITEMS, (InputMessage, ItemReference, FunctionCall, FunctionCallOutput)),
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
        (field_support.MESSAGES, "anthropic.types.message_create_params.MessageCreateParamsBase"),
        (
            field_support.CHAT,
            "openai.types.chat.completion_create_params.CompletionCreateParamsBase",
        ),
        (
            fields.RESPONSES,
            "openai.types.responses.response_create_params.ResponseCreateParamsBase",
        ),
    ],
)
def test_every_field_that_the_sdk_knows_stands_in_the_table(
    rows: tuple[Row, ...], params: str
) -> None:
    assert set(resolve_name(params).__annotations__) - {row.name for row in rows} == set()
