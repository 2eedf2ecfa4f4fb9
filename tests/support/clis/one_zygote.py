"""One zygote for all subscriptions of a file of tests. In a pool each has its own, from its first
run on: to start that Python, and the one that supervises the first run, takes 40 ms of a core.

That a first run needs none, and that each subscription has its own, is seen in
``tests/pool/claude/process/test_supervisors.py`` and in the trips.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pool.claude.process import start
from pool.claude.process.supervisors import Supervisors


class _OfAll(Supervisors):
    """Left running by whoever has no more to start."""

    def close(self) -> None:
        """Not yet."""


@pytest.fixture(scope="module", autouse=True)
def one_zygote() -> Iterator[None]:
    supervisors = _OfAll("tests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "Supervisors", lambda _: supervisors)
        yield
    Supervisors.close(supervisors)
