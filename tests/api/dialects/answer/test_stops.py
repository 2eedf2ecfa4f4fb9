from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.dialects.answer.stops import Speech

texts = st.text("abc", max_size=12)
stops = st.lists(st.text("abc", min_size=1, max_size=3), max_size=3)


def spoken(speech: Speech, pieces: list[str]) -> str:
    shown = "".join(speech.hear(piece) for piece in pieces)
    return shown + speech.end("".join(pieces))


def test_without_stops_every_piece_is_shown_as_it_comes() -> None:
    speech = Speech()

    assert [speech.hear("Hel"), speech.hear("lo"), speech.end("Hello")] == ["Hel", "lo", ""]


def test_an_answer_is_cut_before_the_first_stop_that_is_complete() -> None:
    speech = Speech(["END", "STOP"])

    assert spoken(speech, ["one ST", "OP two END"]) == "one "
    assert speech.stopped_by == "STOP"


def test_what_may_become_a_stop_is_held_back_and_shown_where_it_does_not() -> None:
    speech = Speech(["STOP"])

    assert [speech.hear("a ST"), speech.hear("ART"), speech.end("a START")] == ["a ", "START", ""]
    assert speech.stopped_by is None


def test_what_was_not_heard_is_shown_at_the_end() -> None:
    assert Speech().end("Hello") == "Hello"


def test_a_structured_answer_is_shown_at_once_without_what_was_said_before() -> None:
    speech = Speech(at_once=True)

    assert [speech.hear("Let me see"), speech.end('{"a": 1}')] == ["", '{"a": 1}']


@given(st.lists(texts, max_size=6), stops)
def test_an_answer_is_cut_at_the_same_place_however_it_comes(
    pieces: list[str], stops: list[str]
) -> None:
    whole = Speech(stops)

    assert spoken(Speech(stops), pieces) == whole.end("".join(pieces))


@given(texts, stops)
def test_what_is_shown_holds_no_stop(text: str, stops: list[str]) -> None:
    shown = Speech(stops).end(text)

    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
