"""Pools that the tests of several files share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.clusters.clustered_pool import CLUSTERED
from tests.support.services import shared_pool
from tests.support.services.shared_pool import SharedPool
from tests.support.suite.workers import unit_of


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> SharedPool:
    return shared_pool.POOL.ready(tmp_path_factory.mktemp)


@pytest.fixture
def shared_at_one(tmp_path_factory: pytest.TempPathFactory) -> SharedPool:
    """For whom it makes no difference which subscription has it."""
    return shared_pool.POOL.ready(tmp_path_factory.mktemp, at_work=1)


@pytest.fixture
def awkward(tmp_path_factory: pytest.TempPathFactory) -> SharedPool:
    return shared_pool.AWKWARD.ready(tmp_path_factory.mktemp)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What a unit shares ends with its last test, also where that one's teardown fails."""
    try:
        return (yield)
    finally:
        if nextitem is None or unit_of(nextitem.nodeid) != unit_of(item.nodeid):
            _close()


def pytest_sessionfinish() -> None:
    """After a run that was broken off."""
    _close()


def _close() -> None:
    with ExitStack() as stack:  # each of them, whether or not another one can be
        for each in (*shared_pool.ALL, CLUSTERED):
            stack.callback(each.close)
