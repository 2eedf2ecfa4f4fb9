from __future__ import annotations

from pathlib import Path

import pytest

from pool.claude.launch.directories import make_private, resolved
from pool.errors import InvalidRequest
from pool.executions.permissions import AgentSettings, Grant


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "team").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "root"


def granted(*directories: Path) -> Grant:
    return Grant(working_directories=directories)


def test_home_and_config_directory_are_made_for_their_user_alone(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "seat" / "claude"
    environment = {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(config)}

    make_private(environment)
    make_private(environment)

    assert {path.stat().st_mode & 0o777 for path in (home, config)} == {0o700}


def test_what_cannot_be_made_is_left_to_the_run_that_needs_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    make_private({"HOME": str(tmp_path / "file" / "home"), "CLAUDE_CONFIG_DIR": ""})

    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_granted_directory_below_a_root_is_taken(root: Path) -> None:
    agent = AgentSettings(working_directory=root / "team", add_directories=(root / "team",))

    assert resolved(agent, granted(root), (root,)) == agent


def test_a_request_without_directories_needs_no_root(root: Path) -> None:
    assert resolved(AgentSettings(), Grant(), ()) == AgentSettings()


def test_a_link_that_leads_outside_is_refused(root: Path) -> None:
    (root / "team" / "out").symlink_to(root.parent / "elsewhere")

    with pytest.raises(InvalidRequest, match=r"agent\.working_directory: leads to a place"):
        resolved(AgentSettings(working_directory=root / "team" / "out"), granted(root), (root,))


def test_a_link_that_leads_to_what_was_not_granted_is_refused(root: Path) -> None:
    (root / "other").mkdir()
    (root / "team" / "out").symlink_to(root / "other")

    with pytest.raises(InvalidRequest, match="not granted"):
        resolved(
            AgentSettings(add_directories=(root / "team" / "out",)),
            granted(root / "team"),
            (root,),
        )


def test_a_grant_outside_of_every_root_gives_nothing(root: Path) -> None:
    outside = root.parent / "elsewhere"

    with pytest.raises(InvalidRequest, match="below no root"):
        resolved(AgentSettings(working_directory=outside), granted(outside), (root,))


def test_a_root_that_is_a_link_itself_is_followed(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)

    found = resolved(AgentSettings(working_directory=link / "team"), granted(link), (link,))

    assert found.working_directory == root / "team"


def test_a_directory_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(InvalidRequest, match="is no directory"):
        resolved(AgentSettings(working_directory=root / "gone"), granted(root), (root,))
