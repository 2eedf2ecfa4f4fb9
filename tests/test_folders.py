"""Where the tests themselves keep their files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.suite.folders import OF_A_RUN, of_this_run


def test_what_a_run_that_was_killed_left_goes_with_the_next_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    living, others = tmp_path / f"{OF_A_RUN}{os.getppid()}", tmp_path / "others"
    for each in (tmp_path / f"{OF_A_RUN}{ended.pid}", living, others):
        each.mkdir()
        (each / "file").touch()

    made = of_this_run(tmp_path)

    assert set(tmp_path.iterdir()) == {made, living, others}
    assert of_this_run(tmp_path) == made
