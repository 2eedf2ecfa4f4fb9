"""Lines of a file that grows, whole and once, however it is written and read."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pool.claude.output.tail import PIECE_BYTES, TOO_LONG, Piece, Tail, piece_of

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)
LIMIT = 8
"""Of a line in these tests."""
WRITTEN = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"bcd", b"x" * 20]), max_size=30).map(
    b"".join
)


class Written:
    """What was written so far, read in pieces of at most so many bytes."""

    def __init__(self, data: bytes = b"", at_once: int = PIECE_BYTES) -> None:
        self.data = data
        self.at_once = at_once
        self.read_bytes = 0

    def __call__(self, offset: int, limit: int) -> Piece:
        data = self.data[offset : offset + min(limit, self.at_once)]
        self.read_bytes += len(data)
        return Piece(data, len(self.data), NOW)


def texts(tail: Tail, *, until: int | None = None, is_over: bool = False) -> list[bytes]:
    return [line.text for line in tail.lines(until=until, is_over=is_over)]


def lines_of(data: bytes) -> list[bytes]:
    """What has to come of it, a last line without an end included."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    return [line if len(line) <= LIMIT else TOO_LONG for line in lines]


@given(data=WRITTEN, at_once=st.integers(1, 10))
def test_a_whole_file_comes_line_by_line_in_whatever_pieces_it_is_read(
    data: bytes, at_once: int
) -> None:
    tail = Tail(Written(data, at_once), max_line_bytes=LIMIT)

    lines = list(tail.lines(is_over=True))

    assert [line.text for line in lines] == lines_of(data)
    assert [line.begins for line in lines] == [0, *(line.ends for line in lines)][: len(lines)]
    assert tail.offset == len(data)


@given(data=WRITTEN, cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_file_that_grows_gives_each_line_once_and_never_half_of_one(
    data: bytes, cuts: list[int]
) -> None:
    written, found = Written(), list[bytes]()
    tail = Tail(written, max_line_bytes=LIMIT)

    for cut in sorted(cuts):
        written.data = data[:cut]
        found += texts(tail)
    written.data = data
    found += texts(tail, is_over=True)

    assert found == lines_of(data)


@given(data=WRITTEN, most=st.integers(1, 10))
def test_a_file_that_is_read_a_little_at_a_time_is_read_to_its_end(data: bytes, most: int) -> None:
    tail, found = Tail(Written(data + b"\n"), max_line_bytes=LIMIT), list[bytes]()

    for _ in range(len(data) + 1):
        # As much as is allowed, or the line that begins there would never come.
        found += texts(tail, until=tail.reached + max(most, LIMIT + 1))

    assert found == lines_of(data + b"\n")


def test_what_is_too_long_is_not_read_again_and_again() -> None:
    written = Written(b"x" * 1000)
    tail = Tail(written, max_line_bytes=LIMIT)
    assert texts(tail) == []

    assert texts(tail) == []
    written.data += b"y\nnext\n"

    assert texts(tail) == [TOO_LONG, b"next\n"]
    assert written.read_bytes == len(written.data)


def test_a_reading_goes_no_further_than_it_is_told() -> None:
    tail = Tail(Written(b"one\ntwo\nthree\n"))

    assert texts(tail, until=8) == [b"one\n", b"two\n"]
    assert texts(tail, until=10) == []
    assert texts(tail) == [b"three\n"]


def test_a_reading_begins_where_it_is_told() -> None:
    tail = Tail(Written(b"one\ntwo\n"), 4)

    (line,) = tail.lines()

    assert (line.text, line.begins, line.ends, line.written_at) == (b"two\n", 4, 8, NOW)


def test_a_piece_of_a_file_has_its_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    os.utime(file, (NOW.timestamp(), NOW.timestamp()))

    assert piece_of(file, 4, 3) == Piece(b"456", 10, NOW)
    assert piece_of(file, 0, 0) == Piece(b"", 10, NOW)
    assert piece_of(file, 20, 5) == Piece(b"", 10, NOW)


def test_of_what_is_no_file_there_is_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for each in (tmp_path / "none", tmp_path / "pipe", tmp_path):
        assert piece_of(each, 0, 10) is None
        assert texts(Tail(partial(piece_of, each)), is_over=True) == []
