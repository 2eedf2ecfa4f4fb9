from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.output import lines as reader
from pool.claude.output.stream import is_the_runs
from pool.claude.process.supervisor import output
from pool.claude.process.supervisor.output import Output
from pool.foreign_text import fit

ANSWER: dict[str, Any] = {"type": "result", "is_error": False, "num_turns": 1, "result": "yes"}
NOTICE = {**ANSWER, "num_turns": 0}
TASK = {**ANSWER, "origin": {"kind": "task-notification"}}

odd = st.none() | st.booleans() | st.integers(-1, 2) | st.text(max_size=3) | st.just({"kind": "x"})
results = st.builds(
    lambda base, fields: {**base, **fields},
    st.sampled_from((ANSWER, NOTICE, TASK)),
    st.dictionaries(st.sampled_from(("is_error", "num_turns", "origin", "subtype")), odd),
)


class Spool:
    """What a CLI prints into, and who looks at it."""

    def __init__(self, folder: Path) -> None:
        self._files = [
            os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            for name in ("stdout", "stderr")
        ]
        self.output = Output(*self._files)

    def prints(self, *printed: dict[str, Any] | bytes) -> None:
        for each in printed:
            line = each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n"
            os.write(self._files[0], line)

    def complains(self, size: int) -> None:
        os.write(self._files[1], b"x" * size)

    def answer(self) -> int | None:
        while self.output.look():
            continue
        return self.output.answer_ends


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@given(result=results)
def test_the_supervisor_and_whoever_concludes_know_the_same_result_as_the_runs(
    result: dict[str, Any],
) -> None:
    assert output.is_the_runs(result) == is_the_runs(result)


@given(
    messages=st.lists(results | st.just({"type": "system"}), min_size=1, max_size=3),
    before=st.sampled_from(("", "\x1b]0;claude\x07", "warning { ", "[")),
    after=st.sampled_from(("", " noise", "{")),
)
def test_they_find_the_same_results_on_a_line(
    messages: list[dict[str, Any]], before: str, after: str
) -> None:
    line = (before + " ".join(map(json.dumps, messages)) + after).encode()

    found = [each for each in reader.messages_of(line) if each.get("type") == "result"]

    assert list(map(fit, output.results(line))) == found


def test_the_first_result_that_is_the_runs_is_the_answer(spool: Spool) -> None:
    spool.output.begins(at_start=True)
    spool.prints({"type": "system"}, NOTICE, TASK)
    assert spool.answer() is None
    assert spool.output.other_results == 2

    spool.prints(ANSWER)
    ends = spool.answer()
    spool.prints({**ANSWER, "result": "later"})

    assert spool.answer() == ends
    assert ends is not None
    assert ends < spool.output.offset


def test_a_result_is_seen_when_its_line_has_ended(spool: Spool) -> None:
    spool.output.begins(at_start=True)
    line = json.dumps(ANSWER).encode()
    spool.prints(line[:30])
    assert spool.answer() is None

    spool.prints(line[30:])
    assert spool.answer() is None
    spool.prints(b"\n")

    assert spool.answer() == len(line) + 1


def test_what_was_printed_before_a_run_begins_is_not_its_answer(spool: Spool) -> None:
    spool.prints(ANSWER)

    spool.output.begins(at_start=False)

    assert spool.answer() is None
    spool.prints(ANSWER)
    assert spool.answer() == 2 * (len(json.dumps(ANSWER)) + 1)


def test_what_a_cli_that_was_started_for_a_run_prints_at_once_is_its_answer(spool: Spool) -> None:
    spool.prints(ANSWER)

    spool.output.begins(at_start=True)

    assert spool.answer() == len(json.dumps(ANSWER)) + 1


def test_the_size_is_of_this_run_errors_included(spool: Spool) -> None:
    spool.prints(b"x" * 99 + b"\n")
    spool.complains(11)
    assert spool.output.size() == 111

    spool.output.begins(at_start=False)
    spool.complains(5)

    assert spool.output.size() == 5
