"""How tests are shared out, beside the files that are there."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.support.suite import workers
from tests.support.suite.paths import ROOT

POOLS = {"shared": "POOL", "shared_at_one": "POOL", "awkward": "AWKWARD", "clustered": "CLUSTERED"}
"""By the fixture that has it ready."""
HAS = re.compile(
    rf"\b({'|'.join(POOLS)}): (?:Shared|Clustered)Pool\b"
    rf"|\b(?:shared|clustered)_pool\.({'|'.join(POOLS.values())})\b"
)


def test_all_files_that_have_a_pool_are_one_unit_and_no_others_are() -> None:
    files = defaultdict[str, set[str]](set)
    for path in ROOT.glob("tests/trips/*/test_*.py"):
        for fixture, pool in HAS.findall(path.read_text(encoding="utf-8")):
            files[pool or POOLS[fixture]].add(path.relative_to(ROOT).as_posix())

    together = set(workers.TOGETHER) | set(workers.TOGETHER.values())
    assert set(files) == set(POOLS.values())
    assert set().union(*files.values()) == together
    for of_one in files.values():
        assert len({workers.unit_of(each) for each in of_one}) == 1


def test_what_is_named_is_there() -> None:
    """Units that are the longest, and what takes its time."""
    for named in (*workers.LONGEST, *workers.SPREAD, *workers.SLOW):
        assert (ROOT / named.partition("::")[0]).exists(), named
    assert [each for each in workers.LONGEST if each in workers.TOGETHER] == []
