"""What ``doctor`` says of a pool that is served by another version than is installed."""

from __future__ import annotations

from pathlib import Path

from api.cli.operations.served_version import served, stale
from tests.support.values.reports import report_at, state


def test_subscriptions_of_another_version_are_told_by_version() -> None:
    builds = {"sub1": "1.0+a", "sub2": "2.0+b", "sub3": "1.0+a", "sub4": None}
    reports = [
        report_at(state(id_)).model_copy(update={"build": build}) for id_, build in builds.items()
    ]

    (found,) = stale(reports, "2.0+b")

    assert (found.level, found.subject) == ("warning", "version")
    assert "sub1, sub3 came up with version 1.0+a, 2.0+b is installed" in found.message
    assert "claude-pool serve renews them" in found.message


def test_where_nobody_serves_the_pool_nothing_is_said(tmp_path: Path) -> None:
    config = tmp_path / "pool.toml"
    config.write_text("[server]\nport = 9\n")

    assert served(config) == []
    assert served(tmp_path / "missing.toml") == []
