from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache

import pytest
from rich.console import Console

from api.cli.top.drawing.screen import heights, screen
from api.cli.top.snapshot import Frame, Silence, Snapshot, by_urgency, live_first
from api.cli.top.view import Focus, View
from pool.executions.execution import Execution
from pool.subscriptions.overview.pool_overview import overview
from pool.subscriptions.report import Report
from tests.support.pools.staged_pool import StagedPool
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

HOUR = timedelta(hours=1)


def snapshot(*reports: Report, executions: tuple[Execution, ...] = ()) -> Snapshot:
    return Snapshot(overview(reports, NOON), by_urgency([*reports]), live_first([*executions]))


@cache
def staged(count: int) -> Snapshot:
    pool = StagedPool(count, now=NOON)
    return snapshot(*pool.reports(), executions=tuple(pool.listed))


def shown(
    known: Snapshot, view: View | None = None, *, width: int = 80, height: int | None = None
) -> list[str]:
    """The screen at noon, as lines without colour."""
    console = Console(width=width, height=height or 25, no_color=True, quiet=True)
    frame = Frame(NOON, width, height, has_keys=height is not None)
    with console.capture() as captured:
        console.quiet = False
        console.print(screen(known, view or View(), frame), end="" if height else "\n")
    return captured.get().splitlines()


def line(lines: list[str], part: str) -> str:
    return next(each for each in lines if part in each)


@pytest.mark.parametrize("count", [0, 1, 3, 30])
@pytest.mark.parametrize("size", [(80, 24), (80, 16), (100, 30), (220, 70)])
def test_it_fills_a_terminal_and_is_never_wider(count: int, size: tuple[int, int]) -> None:
    width, height = size

    lines = shown(staged(count), width=width, height=height)

    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "q quit" in lines[-1]


def test_the_first_lines_say_whether_it_is_safe_who_runs_dry_first_and_what_today_costs() -> None:
    report = report_at(state("ada"))
    ends = {"exhausted_at": NOON + 3 * HOUR, "exhausted_by": "five_hour"}
    dry = report.model_copy(update={"forecast": report.forecast.model_copy(update=ends)})
    known = snapshot(dry, *(report_at(state(f"s{n}")) for n in range(9)))
    known = replace(known, today_usd=Decimal("12.5"))

    lines = shown(known, height=24)

    assert lines[0].startswith("● Safe   today $12.50 ")
    assert lines[1].startswith("ada runs dry first, in 3 h (")
    assert "five hours" in lines[1]


def test_what_waits_for_its_caller_says_so_and_stands_with_what_runs() -> None:
    lines = shown(staged(3), height=24)

    first = lines.index(line(lines, "Executions")) + 1
    assert "● waits for caller" in "".join(lines[first : first + 3])


def test_a_subscription_is_explained_with_what_it_does_and_its_node() -> None:
    view = View(explains=True, subscription_id="ben")

    assert line(shown(staged(60), view, height=24), "It runs").rstrip() == (
        "It runs 1 of 5, 1 with its caller, for results of tools, on borea."
    )
    asleep = next(each.id for each in staged(60).reports if each.presence == "asleep")
    view = View(explains=True, subscription_id=asleep)
    assert "It is asleep, on " in "".join(shown(staged(60), view, height=24))


def test_a_wide_terminal_has_room_for_nodes() -> None:
    assert " node " in line(shown(staged(60), width=200, height=30), "slots")
    assert " node " not in line(shown(staged(60), width=150, height=30), "slots")


def test_windows_show_all_subscriptions_and_the_next_reset() -> None:
    full = report_at(state("ada", windows={"five_hour": window(1, status="rejected")}))
    half = report_at(state("ben", windows={"five_hour": window(0.5, resets_in=HOUR)}))

    found = line(shown(snapshot(full, half), height=24), "Five hours")

    assert "75%" in found
    assert "1 full, resets" in found
    assert found.rstrip().endswith("ben")


def test_more_rows_than_there_is_room_for_are_shown_around_the_chosen_one() -> None:
    known = staged(30)
    last = known.reports[-1].id

    lines = shown(known, View(subscription_id=last), height=24)

    assert "-30 of 30" in line(lines, "Subscriptions")
    assert line(lines, f" {last} ").startswith("▸")


def test_what_needs_attention_is_listed_with_what_to_do() -> None:
    known = snapshot(report_at(state("ada")).model_copy(update={"uncertain": 1}))

    assert "held until the block ends" in line(shown(known, width=120, height=24), "! ada")


def test_where_there_is_no_terminal_everything_is_printed_once_without_keys() -> None:
    lines = shown(staged(30))

    assert sum("● " in each for each in lines) == 1 + 30 + 10
    assert not any("q quit" in each for each in lines)


def test_a_service_that_is_silent_is_named_with_the_time_and_the_figures_stay() -> None:
    silence = Silence(NOON - timedelta(minutes=3), "No service listens there", "start one")

    lines = shown(replace(staged(3), silence=silence), height=24)

    assert "No service listens there" in lines[-2]
    assert "3 min" in lines[-2]
    assert line(lines, "  ada ")


def test_a_service_that_is_back_is_named_for_a_few_seconds() -> None:
    assert "The pool is back." in shown(replace(staged(3), back_since=NOON), height=24)
    long_ago = replace(staged(3), back_since=NOON - HOUR)
    assert "The pool is back." not in shown(long_ago, height=24)


def test_an_execution_is_explained_on_a_screen_of_its_own() -> None:
    known = staged(3)
    view = View(focus=Focus.EXECUTIONS, execution_id=known.executions[4].id, explains=True)

    lines = shown(known, view, height=40)

    assert line(lines, known.executions[4].id)
    assert line(lines, "It went to")
    assert "esc back" in lines[-1]


def test_what_others_chose_cannot_steer_the_terminal() -> None:
    pool = StagedPool(3, now=NOON)
    evil = pool.listed[0].model_copy(update={"model": "\x1b]0;owned\x07"})
    known = snapshot(*pool.reports(), executions=(evil,))

    for view in (View(), View(focus=Focus.EXECUTIONS, explains=True)):
        assert "\x1b" not in "".join(shown(known, view, width=140, height=30))


def test_what_one_list_does_not_need_the_other_has() -> None:
    assert heights(24, 2, 3, 48, 0, 1).executions > (heights(24, 2, 60, 48, 0, 1).executions or 0)
    assert heights(24, 2, 60, 2, 0, 1).subscriptions > (
        heights(24, 2, 60, 48, 0, 1).subscriptions or 0
    )


def test_what_the_windows_before_have_left_is_said_beside_the_next_reset() -> None:
    found = line(shown(staged(3), width=120, height=30), "Five hours")

    assert ", last left " in found
    assert found.rstrip().endswith("%")
