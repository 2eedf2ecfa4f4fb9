"""What an owner finds, and leaves, in its place on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.runtime.factory import subscription as activation
from pool.config import parse
from pool.errors import StoreError
from tests.support.pools.local_peers import LonelyPeers
from tests.support.values.examples import spec


def test_an_activation_that_loses_its_ledger_leaves_a_mark_that_the_next_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left: list[StoreError] = []
    monkeypatch.setattr(activation, "leave", left.append)
    config, home = parse({"pool": {"data_dir": str(tmp_path)}}), tmp_path / "sub1"
    home.mkdir()

    lost = []
    for _ in range(3):
        around = activation._dependencies(spec().id, config, home, LonelyPeers())
        lost.append(around.ledgers_lost)
        around.leave(StoreError("sub1", "it belongs to another activation"))

    assert lost == [0, 1, 2]
    assert len(left) == 3
    assert caplog.records[0].message == "ledger lost: the subscription leaves"
    assert vars(caplog.records[0])["subscription_id"] == "sub1"


def test_an_owner_that_cannot_leave_a_mark_leaves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[StoreError] = []
    monkeypatch.setattr(activation, "leave", left.append)

    activation._leave_behind(tmp_path / "nowhere" / "mark", StoreError("sub1", "the disk is full"))

    assert len(left) == 1
