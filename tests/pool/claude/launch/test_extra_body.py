"""What the CLI puts over the body of its requests."""

from __future__ import annotations

import json

import pytest

from pool.claude.launch.extra_body import EXTRA_BODY, extra_body


def test_what_the_operator_and_others_have_set_stays() -> None:
    before = {EXTRA_BODY: '{"top_k": 3, "temperature": 1}'}

    found = extra_body(before, {"temperature": 0.5})

    assert json.loads(found[EXTRA_BODY]) == {"top_k": 3, "temperature": 0.5}


@pytest.mark.parametrize("text", ["", "no JSON", "[1]"])
def test_what_is_no_object_counts_as_nothing(text: str) -> None:
    assert extra_body({EXTRA_BODY: text}, {"top_k": 3}) == {EXTRA_BODY: '{"top_k":3}'}


def test_nothing_more_is_no_variable() -> None:
    assert extra_body({EXTRA_BODY: '{"top_k": 3}'}, {}) == {}
