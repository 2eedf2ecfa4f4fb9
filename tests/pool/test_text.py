from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.text import fit, may_be_unfit

ANY_TEXT = st.text(st.characters())
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
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

    assert "\0" not in json.dumps(mended, ensure_ascii=False)
    json.dumps(mended, ensure_ascii=False).encode()
