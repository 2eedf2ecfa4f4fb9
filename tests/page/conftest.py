"""The page in a real browser: one for all that look at it. Its end is theirs, for nothing else can
have an event loop beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import browsing
from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser
