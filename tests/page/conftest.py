"""The page in a real browser: one for all that look at it, with one seat. Its end is theirs, for
nothing else can have an event loop beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from browser import Seat, browsing
from staged_pool import stage

AFTERNOON = datetime(2026, 1, 28, 13, 42, tzinfo=UTC)


@pytest.fixture(scope="package")
def seat() -> Iterator[Seat]:
    with browsing() as browser:
        yield Seat(browser, timezone_id="UTC")


@pytest.fixture(scope="package")
def stages() -> Iterator[dict[int, str]]:
    """The addresses of staged pools, by how many subscriptions they have, of one afternoon."""
    with (
        stage(0, now=AFTERNOON) as none,
        stage(3, now=AFTERNOON) as three,
        stage(60, now=AFTERNOON) as sixty,
    ):
        yield {0: none, 3: three, 60: sixty}
