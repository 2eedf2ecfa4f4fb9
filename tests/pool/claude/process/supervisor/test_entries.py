from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.supervisor.entries import (
    Entry,
    Keep,
    Turn,
    Words,
    entry_at,
    keep,
    turn,
    whole,
)

LINES = b'{"type":"user"}\n{"type":"control_request"}\n'


def shown(entry: Entry) -> tuple[object, ...]:
    match entry:
        case Turn():
            return (entry.run, entry.deadline, entry.bound, entry.lines)
        case Keep():
            return (entry.seconds,)
        case _:
            return (entry.lines,)


class Inbox:
    def __init__(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.fd = os.open(path, os.O_RDONLY)

    def entries(self) -> Iterator[Entry]:
        place = 0
        while (found := entry_at(self.fd, place)) is not None:
            entry, place = found
            yield entry
        assert place == whole(self.fd)
        os.close(self.fd)


def read(path: Path, content: bytes) -> list[Entry]:
    return list(Inbox(path / "inbox", content).entries())


def test_entries_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = read(tmp_path, turn("exec_1", 600, 64, LINES) + keep(2.5) + b'{"a":1}\n' + keep(0))

    assert [type(each) for each in found] == [Turn, Keep, Words, Keep]
    assert [shown(each) for each in found] == [
        ("exec_1", 600, 64, LINES),
        (2.5,),
        (b'{"a":1}\n',),
        (0,),
    ]


@given(
    run=st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1),
    lines=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9)), max_size=4),
    after=st.sampled_from((b"", b'{"x":"#"}\n')),
)
def test_whatever_a_run_is_called_and_asked_it_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, run: str, lines: list[dict[str, str]], after: bytes
) -> None:
    said = b"".join(json.dumps(each).encode() + b"\n" for each in lines)

    first, *rest = read(tmp_path_factory.mktemp("inbox"), turn(run, 1, 2, said) + after)

    assert shown(first) == (run, 1, 2, said)
    assert [shown(each) for each in rest] == ([(after,)] if after else [])


def test_what_is_torn_anywhere_is_no_entry(tmp_path: Path) -> None:
    before, torn = keep(1), turn("exec_1", 600, 64, LINES)

    for cut in range(len(torn)):
        found = read(tmp_path, before + torn[:cut])
        assert [type(each) for each in found] == [Keep], torn[:cut]


def test_what_an_owner_did_not_finish_is_cut_off_before_the_next_word(tmp_path: Path) -> None:
    directory, torn = ProcessDirectory(tmp_path), turn("exec_1", 600, 64, LINES)

    for cut in range(len(torn)):
        (tmp_path / "inbox").write_bytes(keep(1) + torn[:cut])
        directory.say(b'{"a":1}\n')
        assert (tmp_path / "inbox").read_bytes() == keep(1) + b'{"a":1}\n'


def test_a_line_longer_than_any_head_is_one_entry(tmp_path: Path) -> None:
    long = b'{"text":"' + b"x" * 100_000 + b'"}\n'

    assert [shown(each) for each in read(tmp_path, long + long[:-1])] == [(long,)]


@pytest.mark.parametrize("line", [b"#\n", b"# a note\n", b"#later 1 2 3 4\n", b"#turns\n"])
def test_what_is_not_understood_is_passed_over(tmp_path: Path, line: bytes) -> None:
    assert [shown(each) for each in read(tmp_path, line + b"{}\n")] == [(b"",), (b"{}\n",)]
