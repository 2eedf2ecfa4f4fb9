"""The report of the chaos tests shows what failed."""

import re
from pathlib import Path

import pytest

from tests.chaos import report

FALSIFIED = """
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

class Numbers(RuleBasedStateMachine):
    @rule(number=st.integers())
    def take(self, number):
        assert number < 1000, "it is large"

TestNumbers = Numbers.TestCase
"""


def test_every_trip_that_has_a_longer_form_is_a_scenario() -> None:
    trips = Path(__file__).parents[1] / "trips"
    have = {
        each.relative_to(trips).as_posix()
        for each in trips.rglob("*.py")
        if "import IS_FULL" in each.read_text("utf-8")
    }

    tests = (test for scenario in report.SCENARIOS for test in scenario.tests)
    assert {test.partition("trips/")[2] for test in tests} - {""} == have


def test_every_loop_of_kills_is_one_scenario() -> None:
    loops = (report.HERE / "test_kill_loops.py").read_text("utf-8")
    names = re.findall(r"def (test_\w+)", loops)

    chosen = [each.tests[2] for each in report.SCENARIOS if each.tests[0] == "test_kill_loops.py"]
    assert sorted(name for words in chosen for name in names if words in name) == sorted(names)


def test_a_red_scenario_shows_the_case_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    falsified = tmp_path / "test_falsified.py"
    falsified.write_text(FALSIFIED, encoding="utf-8")

    line = report.run(report.Scenario("numbers", (str(falsified),), 100), short=True)
    report.tell(line)

    (red,) = line.red
    told = capsys.readouterr().err
    assert red.test == "runTest"
    assert "numbers: red" in told
    assert "AssertionError: it is large" in told
    assert "state.take(number=1000)" in told


def test_a_scenario_that_does_not_run_shows_what_was_printed(tmp_path: Path) -> None:
    missing = tmp_path / "test_missing.py"

    (red,) = report.run(report.Scenario("nothing", (str(missing),), 100), short=True).red

    assert red.test == "(no test was found)"
    assert "file or directory not found" in red.case


def test_a_scenario_that_takes_too_long_says_so(tmp_path: Path) -> None:
    slow = tmp_path / "test_slow.py"
    slow.write_text("import time\n\ndef test_it():\n    time.sleep(60)\n", encoding="utf-8")

    (red,) = report.run(report.Scenario("slow", (str(slow),), 5), short=True).red

    assert red.test == "(it took longer than 5 s)"
