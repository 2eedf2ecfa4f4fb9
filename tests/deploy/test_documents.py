"""What the pages say that can be looked up: addresses, errors, links, and the tests they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.server.app import create_app
from api.web.authentication import Keys
from api.web.problems.kinds import HTTP_KINDS, KINDS
from tests.support.pools.localpool import LocalPool

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "deploy").glob("*.md")))
HTTP = ROOT / "deploy" / "http.md"
GUARANTEES = ROOT / "deploy" / "guarantees.md"
MUTANTS = ROOT / "tests" / "chaos" / "mutants.py"
README_LINES = 120


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda each: each.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)

    assert lost == []


def test_the_readme_stays_short_and_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= README_LINES
    assert [each.name for each in PAGES[1:] if f"(deploy/{each.name})" not in text] == []


def test_every_address_stands_in_the_page(local_pool: LocalPool) -> None:
    app = create_app(local_pool.client, Keys({}))
    served = {
        f"{method.upper()} {path.replace(':path}', '}')}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }

    shown = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", HTTP.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(served - set(shown)) == []
    assert sorted(set(shown) - served) == []


def test_every_error_stands_in_the_page_with_its_title() -> None:
    known = {
        (str(each.status), each.type, each.title)
        for each in (*KINDS.values(), *HTTP_KINDS.values())
    }

    rows = re.findall(
        r"^\| (\d{3}) \| `([a-z-]+)` \| (.*) \|$", HTTP.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert known - set(rows) == set()
    assert set(rows) - known == set()


def test_what_proves_a_guarantee_exists() -> None:
    guards = set(
        re.findall(r'^        name="(.*)",$', MUTANTS.read_text(encoding="utf-8"), re.MULTILINE)
    )
    rows = re.findall(r"^\| (G\d+) \|(.*)\|$", GUARANTEES.read_text(encoding="utf-8"), re.MULTILINE)

    assert [name for name, _ in rows] == [f"G{n}" for n in range(1, 13)]
    for name, row in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert tests, name
        assert [each for each in tests if not (ROOT / each).is_file()] == []
        assert [each for each in re.findall(r'"([^"]+)"', row) if each not in guards] == []
