"""The packages are rooms with a rule."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.support.suite.paths import ROOT

TOPS = ("pool", "actors", "api", "tests/support")
MOST = 14
"""Modules of a folder."""
PACKAGES = sorted(
    each.parent.relative_to(ROOT)
    for top in TOPS
    for each in (ROOT / top).rglob("__init__.py")
    if "node_modules" not in each.parts
)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_its_rule(package: Path) -> None:
    text = (ROOT / package / "__init__.py").read_text(encoding="utf-8")

    assert "\nRule: " in (ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize("top", ["pool", "actors", "api", "tests"])
def test_no_room_is_a_heap(top: str) -> None:
    """Whoever looks for a thing has not to know the names of forty."""
    modules = Counter(
        each.parent.as_posix()
        for each in (ROOT / top).rglob("*.py")
        if each.stem != "__init__" and "node_modules" not in each.parts
    )

    assert {folder: number for folder, number in modules.items() if number > MOST} == {}
