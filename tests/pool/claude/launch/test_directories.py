from __future__ import annotations

import os
from pathlib import Path

import pytest

from pool.claude.launch.directories import entered, is_movable, make_private, resolved
from pool.errors import InvalidRequest
from pool.executions.tools.permissions import AgentSettings, Grant


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "team").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "root"


def granted(*directories: Path) -> Grant:
    return Grant(working_directories=directories)


def test_home_and_config_directory_are_made_for_their_user_alone(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "subscription" / "claude"
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


# -- between a look and the start ----------------------------------------------------------------


def swapped(directory: Path, for_: Path) -> Path:
    """Put a link in the place of a directory; where that is now."""
    away = directory.with_name(f"{directory.name}-away")
    directory.rename(away)
    directory.symlink_to(for_)
    return away


@pytest.fixture
def agent(root: Path) -> AgentSettings:
    (root / "team" / "inner").mkdir()
    asked = AgentSettings(working_directory=root / "team" / "inner", add_directories=(root,))
    return resolved(asked, granted(root), (root,))


def test_a_directory_is_entered_as_the_one_that_was_looked_at(
    root: Path, agent: AgentSettings
) -> None:
    place = entered(agent)
    assert place is not None
    away = swapped(root / "team", root.parent / "elsewhere")

    try:
        assert os.path.samestat(os.fstat(place), (away / "inner").stat())
    finally:
        os.close(place)


@pytest.mark.parametrize("at", ["team", "team/inner"])
def test_a_link_that_was_put_in_its_place_is_not_followed(
    root: Path, agent: AgentSettings, at: str
) -> None:
    (root.parent / "elsewhere" / "inner").mkdir()
    swapped(root / at, root.parent / "elsewhere")

    with pytest.raises(InvalidRequest, match=r"agent\.working_directory: was moved, or replaced"):
        entered(agent)


def test_nor_one_in_the_place_of_an_added_directory(root: Path, agent: AgentSettings) -> None:
    swapped(root, root.parent / "elsewhere")

    with pytest.raises(InvalidRequest, match=r"agent\.add_directories: was moved, or replaced"):
        entered(agent)


def test_a_run_without_directories_enters_none() -> None:
    assert entered(AgentSettings()) is None


POOL, GROUP, OTHER = 1000, 1001, 1002


def owned(mode: int, user: int = POOL, group: int = GROUP) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 0, user, group, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (owned(0o755), owned(0o755, OTHER), False),
        (owned(0o755, user=0, group=0), owned(0o777, OTHER), False),
        (owned(0o775), owned(0o755), False),  # the group of the pool's user
        (owned(0o775, group=OTHER), owned(0o755), True),
        (owned(0o757), owned(0o755), True),
        (owned(0o755, OTHER), owned(0o755), True),
        (owned(0o1777, user=0, group=0), owned(0o755), False),  # as /tmp
        (owned(0o1777, user=0, group=0), owned(0o755, OTHER), True),
    ],
)
def test_who_may_put_something_else_in_the_place_of_a_directory(
    outer: os.stat_result, inner: os.stat_result, expected: bool
) -> None:
    assert is_movable(outer, inner, POOL, GROUP) is expected


def test_what_others_could_move_away_is_refused_and_what_it_lies_in_is_named(root: Path) -> None:
    (root / "team" / "inner").mkdir()
    (root / "team").chmod(0o777)
    asked = AgentSettings(working_directory=root / "team" / "inner")

    with pytest.raises(InvalidRequest, match=f"who may write in {root / 'team'}: have"):
        resolved(asked, granted(root), (root,))

    outermost = AgentSettings(working_directory=root / "team")
    assert resolved(outermost, granted(root), (root,)) == outermost
