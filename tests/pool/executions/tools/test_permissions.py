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
