"""The text of figures, read by Prometheus's own parser, and its numbers by its own writer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from pool.telemetry.counters import RUN, RUNS, Durations, Figures, Tally, Timer
from pool.telemetry.exposition import (
    OPENMETRICS_END,
    PIECE_LINES,
    Family,
    figure,
    histograms,
    number,
    of_pool,
)
from tests.support.values.reports import report_at, state

NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)
FIGURES = Figures(
    reports=(report_at(state("sub1")), report_at(state("sub2"))),
    tallies={"sub1": Tally().counted(RUNS, "completed", 3).timed(RUN, 42.0)},
    router=Tally(),
    unheard=(),
    observed_at=NOW,
)


@given(st.floats().map(lambda value: value + 0.0) | st.integers(-(10**15), 10**15))
@example(1_769_617_800.0)
@example(1_000_000)
@example(True)
def test_a_number_is_written_as_prometheus_writes_it(value: float) -> None:
    assert number(value) == floatToGoString(value)


@given(st.text())
def test_a_label_comes_back_as_it_was(value: str) -> None:
    timer = Timer("t_seconds", "How long.")

    text = histograms(timer, ("who",), {(value,): Durations().having(1)}).text(openmetrics=False)

    (family,) = text_string_to_metric_families(text)
    assert {each.labels["who"] for each in family.samples} == {value}


@given(st.text())
def test_a_help_stays_one_line(help_: str) -> None:
    text = figure("f", help_, 1).text(openmetrics=False)

    assert [each.samples[0].value for each in text_string_to_metric_families(text)] == [1]


def test_both_formats_say_the_same() -> None:
    plain = "".join(each.text(openmetrics=False) for each in of_pool(FIGURES))
    openmetrics = "".join(each.text(openmetrics=True) for each in of_pool(FIGURES))

    by_text = [each for family in text_string_to_metric_families(plain) for each in family.samples]
    families = openmetrics_families(openmetrics + OPENMETRICS_END)
    by_openmetrics = [each for family in families for each in family.samples]
    assert [each[:3] for each in by_text] == [each[:3] for each in by_openmetrics]
    assert len(by_text) > 100


def test_buckets_add_up_and_end_with_all() -> None:
    took = {("sub1",): Durations().having(0.001).having(3.0).having(99_999.0)}

    found = histograms(RUN, ("subscription",), took)

    (family,) = text_string_to_metric_families(found.text(openmetrics=False))
    buckets = {each.labels["le"]: each.value for each in family.samples if "le" in each.labels}
    assert (buckets["0.005"], buckets["5.0"], buckets["+Inf"]) == (1, 2, 3)
    totals = {each.name: each.value for each in family.samples if "le" not in each.labels}
    assert totals == {
        "claude_pool_run_seconds_count": 3,
        "claude_pool_run_seconds_sum": 100_002.001,
    }


def test_a_counter_is_called_a_total_where_prometheus_wants_it() -> None:
    family = Family("runs", "counter", "Runs.", ["claude_pool_runs_total 1.0\n"])

    assert family.text(openmetrics=False).startswith("# HELP claude_pool_runs_total Runs.\n")
    assert family.text(openmetrics=True).startswith("# HELP claude_pool_runs Runs.\n")


def test_no_piece_of_a_large_family_is_written_before_it_is_asked_for() -> None:
    written = 0

    def lines() -> Iterator[str]:
        nonlocal written
        for written in range(1, 2 * PIECE_LINES + 2):
            yield f"claude_pool_runs_total {written}\n"

    pieces, after = [], []
    for piece in Family("runs", "counter", "Runs.", lines()).pieces(openmetrics=False):
        pieces.append(piece)
        after.append(written)

    assert after == [0, PIECE_LINES, 2 * PIECE_LINES, 2 * PIECE_LINES + 1]
    assert [each.count("\n") for each in pieces] == [2, PIECE_LINES, PIECE_LINES, 1]


def test_the_figures_of_many_subscriptions_are_written_as_they_are_read() -> None:
    many = {(f"sub{n:04}",): Durations().having(1.0) for n in range(PIECE_LINES)}

    pieces = list(histograms(RUN, ("subscription",), many).pieces(openmetrics=False))

    assert max(each.count("\n") for each in pieces) == PIECE_LINES
    (family,) = text_string_to_metric_families("".join(pieces))
    assert len({each.labels["subscription"] for each in family.samples}) == PIECE_LINES
