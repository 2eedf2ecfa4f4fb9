"""Turns of a conversation, as callers send them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from pydantic import ValidationError

from pool.executions.content.turn import Turn, content_of, joined


def said(role: str, content: Any) -> Turn:
    return Turn.model_validate({"role": role, "content": content})


def test_a_bare_text_is_a_turn_of_one_part() -> None:
    turn = said("user", "hello")

    assert content_of(turn) == [{"type": "text", "text": "hello"}]
    assert turn.texts == ("hello",)


def test_what_one_side_said_in_a_row_is_one_turn() -> None:
    turns = joined([said("user", "a"), said("user", "b"), said("assistant", "c")])

    assert [(each.role, each.texts) for each in turns] == [
        ("user", ("a", "b")),
        ("assistant", ("c",)),
    ]


def test_documents_are_told_in_the_words_of_the_api() -> None:
    data = b64encode(b"%PDF-1.7 and so on").decode()
    pdf = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": data},
        "title": "a title",
    }
    text = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "words"},
    }

    assert [pdf, text] == content_of(said("user", [pdf, text]))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"type": "base64", "data": b64encode(b"GIF89a").decode()}, "is no PDF"),
        ({"type": "base64", "data": "%%"}, "is no base64"),
        ({"type": "text", "data": " "}, "is empty"),
        ({"type": "url", "url": "https://example.com/a.pdf"}, "does not match any"),
        ({"type": "file", "file_id": "file_1"}, "does not match any"),
    ],
)
def test_what_is_no_document_is_refused_by_what_it_is(source: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        said("user", [{"type": "document", "source": source}])


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {}}),
        ("user", {"type": "thinking", "thinking": "hm", "signature": "s"}),
        ("assistant", {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}),
    ],
)
def test_each_side_says_what_is_its_own_to_say(role: str, part: Any) -> None:
    with pytest.raises(ValidationError, match=f"a turn of role {role} holds a part of type"):
        said(role, [part])
