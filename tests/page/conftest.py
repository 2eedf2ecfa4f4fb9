"""The page in a real browser: one for all that look at it, with one seat. It is closed after the
last of them, for no other test can have an event loop beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from tests.support.callers.browser import Seat, browsing
from tests.support.pools.staged_pool import stage

AFTERNOON = datetime(2026, 1, 28, 13, 42, tzinfo=UTC)
COUNTS = (0, 3, 60)
_HERE = Path(__file__).parent
_open = ExitStack()


@cache
def _seat() -> Seat:
    return Seat(_open.enter_context(browsing()), timezone_id="UTC")


@cache
def _stages() -> dict[int, str]:
    return {count: _open.enter_context(stage(count, now=AFTERNOON)) for count in COUNTS}


@pytest.fixture(scope="module")
def seat() -> Seat:
    return _seat()


@pytest.fixture(scope="module")
def stages() -> dict[int, str]:
    """The addresses of staged pools, by how many subscriptions they have, of one afternoon."""
    return _stages()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    try:
        return (yield)
    finally:
        if nextitem is None or not nextitem.path.is_relative_to(_HERE):
            _open.close()
            _seat.cache_clear()
            _stages.cache_clear()
