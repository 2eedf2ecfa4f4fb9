from pathlib import Path

import pytest
from pydantic import ValidationError

from pool.executions.tools.permissions import Grant


def test_nothing_is_granted_unless_it_is_named() -> None:
    grant = Grant()

    assert not grant.covers_tool("Read")
    assert not grant.covers_directory(Path("/"))


def test_a_tool_is_granted_word_for_word() -> None:
    grant = Grant(tools=("Read", "Bash(git log:*)", "mcp__jira__search"))

    assert grant.covers_tool("Bash(git log:*)")
    assert not grant.covers_tool("Bash")
    assert not grant.covers_tool("Bash(git:*)")
    assert not grant.covers_tool("read")


@pytest.mark.parametrize("tool", ["", "1x", "Read Write", "Read,Write", "Bash(a)(b)", "Bash(\n)"])
def test_a_tool_that_no_cli_could_know_is_refused(tool: str) -> None:
    with pytest.raises(ValidationError):
        Grant(tools=(tool,))


def test_a_directory_is_granted_with_what_is_below_it() -> None:
    grant = Grant(working_directories=(Path("/srv/work"),))

    assert grant.covers_directory(Path("/srv/work"))
    assert grant.covers_directory(Path("/srv/work/a/b"))
    assert not grant.covers_directory(Path("/srv/workshop"))
    assert not grant.covers_directory(Path("/srv"))
    assert not grant.covers_directory(Path("/srv/work/../secret"))


@pytest.mark.parametrize("path", ["srv/work", "~/work", "/srv/../etc", "/srv/\x00"])
def test_a_directory_that_is_not_written_in_full_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        Grant(working_directories=(Path(path),))
