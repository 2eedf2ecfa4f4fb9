from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.foreign_text import MOST_DEEP, REPLACEMENT, fit, may_be_unfit
from pool.values import Value

ANY_TEXT = st.text(st.characters())
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


@pytest.mark.parametrize("unfit", ["\ud83d", "\0"])
def test_half_a_pair_and_nul_are_replaced_wherever_they_stand(unfit: str) -> None:
    assert fit({f"a{unfit}": [f"b{unfit}", 1, None]}) == {"a\ufffd": ["b\ufffd", 1, None]}


def test_a_whole_pair_is_one_character_and_stays() -> None:
    spelt = '{"a": "\\ud83d\\ude00"}'

    assert may_be_unfit(spelt)
    assert fit(json.loads(spelt)) == {"a": "\N{GRINNING FACE}"}


@given(ANY_JSON)
def test_whatever_json_can_say_can_be_sent_afterwards(value: Any) -> None:
    text = json.dumps(value)

    mended = fit(value) if may_be_unfit(text) else value

    sent = json.dumps(mended, ensure_ascii=False, allow_nan=False)
    assert "\0" not in sent
    assert sent.encode()


@pytest.mark.parametrize("spelt", ["NaN", "Infinity", "-Infinity", "1e999", "-1E+400"])
def test_a_number_that_cannot_be_sent_is_null(spelt: str) -> None:
    assert may_be_unfit(spelt)
    assert fit([json.loads(spelt), 1e99]) == [None, 1e99]


@pytest.mark.parametrize("depth", [MOST_DEEP - 1, MOST_DEEP, 300])
@pytest.mark.parametrize("around", ['{"a":%s}', "[%s]"])
def test_what_lies_too_deep_is_replaced_as_a_whole(depth: int, around: str) -> None:
    class Holder(Value):
        value: Any

    spelt = "1"
    for _ in range(depth):
        spelt = around % spelt

    mended = fit(json.loads(spelt)) if may_be_unfit(spelt) else json.loads(spelt)

    assert Holder(value=mended).model_dump_json()
    assert (REPLACEMENT in str(mended)) == (depth > MOST_DEEP)
