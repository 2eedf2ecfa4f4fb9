from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pool.errors import ConfigError
from pool.nodes import identity
from pool.nodes.identity import names_on, node_id


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    assert node_id(tmp_path) == node_id(tmp_path)


def test_two_data_directories_of_one_machine_are_two_nodes(tmp_path: Path) -> None:
    assert node_id(tmp_path / "one") != node_id(tmp_path / "two")


def test_machines_that_share_a_data_directory_are_two_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = node_id(tmp_path)
    monkeypatch.setattr(identity, "_machine", lambda: "another machine")

    assert node_id(tmp_path) != here
    assert names_on(tmp_path) == {here, node_id(tmp_path)}


def test_a_directory_that_was_never_used_bears_no_name(tmp_path: Path) -> None:
    assert names_on(tmp_path) == frozenset()


def test_whoever_draws_at_once_has_one_name(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        names = set(threads.map(lambda _: node_id(tmp_path), range(64)))

    assert len(names) == 1
    assert len(list((tmp_path / identity.FOLDER).iterdir())) == 1


def test_where_no_name_can_be_kept_that_is_told(tmp_path: Path) -> None:
    (tmp_path / identity.FOLDER).write_text("no directory")

    with pytest.raises(ConfigError, match=r"pool\.data_dir: the node's name cannot be kept"):
        node_id(tmp_path)


def test_without_a_machine_id_the_host_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_MACHINE_IDS", (tmp_path / "none",))

    assert identity._machine() == identity.platform.node()
