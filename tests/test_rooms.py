"""The packages are rooms with a rule."""

import ast
from pathlib import Path

import pytest

from tests.support.suite.paths import ROOT

PACKAGES = sorted(
    each.parent.relative_to(ROOT)
    for top in ("pool", "actors", "api")
    for each in (ROOT / top).rglob("__init__.py")
    if "node_modules" not in each.parts
)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_its_rule(package: Path) -> None:
    text = (ROOT / package / "__init__.py").read_text(encoding="utf-8")

    assert "\nRule: " in (ast.get_docstring(ast.parse(text)) or "")
