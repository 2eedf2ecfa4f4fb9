from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pool.executions.request import ExecutionRequest
from pool.executions.tools.permissions import AgentSettings, Grant, not_granted

WORK = Path("/srv/work")
GRANT = Grant(tools=("Read", "Bash(git log:*)"), working_directories=(WORK,))


@pytest.mark.parametrize(
    ("tools", "agent"),
    [
        ((), {}),
        (("Read",), {"working_directory": WORK / "a"}),
        (("Bash(git log:*)",), {"add_directories": (WORK, WORK / "b" / "c")}),
        (("Read",), {"append_system_prompt": "Be brief."}),
    ],
)
def test_what_is_granted_is_not_refused(tools: tuple[str, ...], agent: dict[str, object]) -> None:
    assert not_granted(tools, AgentSettings.model_validate(agent), GRANT) is None


@pytest.mark.parametrize(
    ("tools", "agent", "field"),
    [
        (("Bash",), {}, "tools"),
        (("Read", "Bash(git:*)"), {}, "tools"),
        ((), {"working_directory": "/srv"}, "agent.working_directory"),
        ((), {"working_directory": "/srv/workshop"}, "agent.working_directory"),
        ((), {"add_directories": ["/srv/work", "/etc"]}, "agent.add_directories"),
        ((), {"permission_mode": "acceptEdits"}, "agent.permission_mode"),
        ((), {"mcp_servers": {}}, "agent.mcp_servers"),
        ((), {"sub_agents": {}}, "agent.sub_agents"),
    ],
)
def test_what_is_not_granted_is_refused_by_its_field(
    tools: tuple[str, ...], agent: dict[str, object], field: str
) -> None:
    missing = not_granted(tools, AgentSettings.model_validate(agent), GRANT)

    assert missing is not None
    assert field == missing.field


def test_what_a_grant_names_may_be_used() -> None:
    agent = AgentSettings(permission_mode="plan", mcp_servers={}, sub_agents={})
    grant = Grant(permission_modes=("plan",), mcp_servers=True, sub_agents=True)

    assert not_granted((), agent, grant) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"permission_mode": "bypassPermissions"},
        {"working_directory": "work"},
        {"working_directory": "/srv/work/../../etc"},
        {"add_directories": ["/srv/\x00"]},
        {"mcp_servers": {"a": "x" * 100_001}},
        {"hooks": {}},
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExecutionRequest.model_validate({"prompt": "hi", "agent": wrong})


@pytest.mark.parametrize("tool", ["", "--flag", "Bash(a)(b)", "Read,Write", "Bash(\n)", "a" * 101])
def test_a_tool_that_is_no_name_is_refused(tool: str) -> None:
    with pytest.raises(ValidationError):
        ExecutionRequest.model_validate({"prompt": "hi", "tools": [tool]})


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
