from datetime import UTC, datetime

import pytest

from pool.errors import Conflict, InvalidRequest
from pool.executions.tools.client_tools import ToolCall, ToolResult
from pool.executions.tools.rounds import KeptRound, answered, rest, spent
from pool.usage.records import ModelUsage, Usage

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)


def used(tokens: int, nano_usd: int) -> Usage:
    return Usage(models={"m": ModelUsage(input_tokens=tokens, cost_nano_usd=nano_usd)})


def a_round(number: int, *ids: str, usage: Usage = Usage()) -> KeptRound:  # noqa: B008 - frozen
    calls = tuple(ToolCall(id=id_, name="weather", input={"city": id_}) for id_ in ids)
    cursor = f"0-{number}"
    return KeptRound(number=number, tool_calls=calls, usage=usage, cursor=cursor, ended_at=NOW)


def results(*ids: str, text: str = "21") -> list[ToolResult]:
    return [ToolResult.model_validate({"tool_use_id": id_, "content": text}) for id_ in ids]


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["a"], "results: no result for 'b', 'c': send those of all calls at once"),
        (["a", "b", "c", "d"], "results: 'd' is none of the calls that it waits for"),
        (["x", "y"], "results: 'x', 'y': this execution has made no such call"),
    ],
)
def test_results_that_are_not_those_of_all_calls_are_refused_by_name(
    ids: list[str], problem: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        answered([a_round(0, "a", "b", "c")], results(*ids))

    assert str(caught.value) == problem


def test_the_same_results_are_taken_once_and_others_of_the_same_calls_never() -> None:
    first = answered([a_round(0, "a", "b")], results("a", "b"))

    assert answered([first, a_round(1, "c")], results("b", "a")) == first
    with pytest.raises(Conflict):
        answered([first], results("a", "b", text="22"))


def test_what_no_round_has_used_is_the_last_ones_so_that_they_sum_up() -> None:
    known = (a_round(0, "a", usage=used(10, 7)), a_round(1, "b", usage=used(20, 9)))
    whole = used(100, 33)

    ended = rest(known, whole, a_round(2))
    cut_off = rest(known, whole, known[-1])

    assert [each.usage for each in ended] == [used(10, 7), used(20, 9), used(70, 17)]
    assert [each.usage for each in cut_off] == [used(10, 7), used(90, 26)]
    assert spent(ended) == spent(cut_off) == whole


def test_a_round_without_content_keeps_its_figures_and_its_calls_names() -> None:
    made = a_round(0, "a", usage=used(10, 7)).model_copy(update={"text": "private"})

    left = made.without_content()

    assert (left.text, left.tool_calls[0].input, left.tool_calls[0].id) == ("", {}, "a")
    assert left.usage == made.usage
