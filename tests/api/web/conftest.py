"""What stands before the routes, which is the same before any pool."""

from __future__ import annotations

import pytest


@pytest.fixture
def subscriptions() -> int:
    """One: nothing here is about who runs a request."""
    return 1
