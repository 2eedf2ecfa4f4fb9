from __future__ import annotations

import json
import time

import pytest

from pool.claude.output.lines import MOST_STARTS, message_of, messages_of

RESULT = {"type": "result", "result": "yes"}
ONE = json.dumps(RESULT).encode()


@pytest.mark.parametrize(
    "line",
    [
        ONE,
        b"\x1b]0;claude\x07" + ONE,  # a terminal's title
        b"(node:12) Warning: {deprecated} " + ONE,
        b"\xff\xfe" + ONE,
        b"  " + ONE + b"\r",
        b"[" + ONE + b"]",
        ONE + b" trailing words",
    ],
)
def test_a_message_is_found_in_the_noise_of_its_line(line: bytes) -> None:
    assert messages_of(line) == (RESULT,)


@pytest.mark.parametrize("between", [b"", b" ", b"\x1b[0m", b","])
def test_two_messages_on_one_line_are_two(between: bytes) -> None:
    assert messages_of(ONE + between + ONE) == (RESULT, RESULT)


def test_a_torn_message_gives_nothing_of_what_stands_in_it() -> None:
    torn = b'{"type":"assistant","message":{"content":[{"type":"tool_use","input":' + ONE

    assert messages_of(torn) == ()


def test_a_whole_message_before_a_torn_one_counts() -> None:
    assert messages_of(ONE + b'{"type":"assistant","message":' + ONE) == (RESULT,)


@pytest.mark.parametrize("line", [b"", b"words", b"[1, 2]", b'["{"]', b"{", b"[" * 100_000 + b"{"])
def test_a_line_without_a_message_gives_none(line: bytes) -> None:
    assert messages_of(line) == ()
    assert message_of(line) == {}


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert messages_of(b'{"type":"result","result":"a\\ud83d"}') == (
        {"type": "result", "result": "a\ufffd"},
    )


def test_a_flood_of_braces_is_refused_at_once() -> None:
    begun = time.process_time()

    assert messages_of(b"{ " * 5_000_000) == ()

    assert time.process_time() - begun < 1
    assert MOST_STARTS < 100
