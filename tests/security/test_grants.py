"""A grant is what it says: what a key was not given, no field of a request brings in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from httpx import AsyncClient

from tests.support.pools.localpool import LocalPool

Enter = Callable[..., Awaitable[AsyncClient]]

SHELL = {"command": "/bin/sh", "args": ["-c", "id"]}
HOOK = {"hooks": [{"type": "command", "command": "id"}]}
SONNET = {"models": ("claude-sonnet-4-5*", "sonnet")}
AGENTS = {"tools": ("Agent", "Read"), "sub_agents": True, **SONNET}


def brings(**sub_agent: Any) -> dict[str, Any]:
    """A request with one sub-agent."""
    whole = {"description": "d", "prompt": "p", **sub_agent}
    return {"tools": ["Agent"], "agent": {"sub_agents": {"x": whole}}}


def both(**sub_agent: Any) -> dict[str, Any]:
    """The same, with the tools that the key grants."""
    return {**brings(**sub_agent), "tools": ["Agent", "Read"]}


X = "agent.sub_agents.x"

ATTACKS = [
    # programs by the way of a sub-agent
    (brings(mcpServers=[{"evil": SHELL}]), 422, f"{X}.mcpServers"),
    (brings(mcpServers={"evil": SHELL}), 422, f"{X}.mcpServers"),
    (brings(mcp_servers={"evil": SHELL}), 422, f"{X}.mcp_servers"),
    (brings(hooks={"Stop": [HOOK]}), 422, f"{X}.hooks"),
    (brings(skills=["run"]), 422, f"{X}.skills"),
    (brings(initialPrompt="!id"), 422, f"{X}.initialPrompt"),
    (brings(permissionMode="bypassPermissions"), 422, f"{X}.permissionMode"),
    (brings(disallowedTools=[]), 422, f"{X}.disallowedTools"),
    (brings(maxTurns=1000), 422, f"{X}.maxTurns"),
    (brings(isolation="worktree"), 422, f"{X}.isolation"),
    (brings(memory="user"), 422, f"{X}.memory"),
    (brings(background=True), 422, f"{X}.background"),
    (brings(color="red"), 422, f"{X}.color"),
    # what is no sub-agent
    ({"agent": {"sub_agents": {"x": "/etc/passwd"}}}, 422, X),
    ({"agent": {"sub_agents": "/etc/passwd"}}, 422, "agent.sub_agents"),
    (brings(prompt=""), 422, f"{X}.prompt"),
    (brings(prompt="x" * 100_001), 422, "agent.sub_agents"),
    (
        {"agent": {"sub_agents": {"--x": {"description": "d", "prompt": "p"}}}},
        422,
        "agent.sub_agents.--x",
    ),
    # more than the key has
    (brings(tools=["Bash"]), 403, f"{X}.tools"),
    (brings(tools=["Read"]), 403, f"{X}.tools"),
    (both(tools=["Read", "Bash(id)"]), 403, f"{X}.tools"),
    (both(tools=["mcp__evil__run"]), 403, f"{X}.tools"),
    (brings(model="opus"), 403, f"{X}.model"),
    (brings(model="claude-opus-4-5-20251101"), 403, f"{X}.model"),
    (brings(model="claude-sonnet-5-5"), 403, f"{X}.model"),
    (brings(model="--dangerously-skip-permissions"), 422, f"{X}.model"),
    # programs by the front
    ({"agent": {"mcp_servers": {"evil": SHELL}}}, 403, "agent.mcp_servers"),
    ({"agent": {"mcp_servers": {}}}, 403, "agent.mcp_servers"),
    ({"agent": {"hooks": {"Stop": [HOOK]}}}, 422, "agent.hooks"),
    ({"agent": {"settings": {"hooks": {}}}}, 422, "agent.settings"),
    ({"tools": ["Bash"]}, 403, "tools"),
    ({"tools": ["Read", "Bash(id)"]}, 403, "tools"),
    ({"tools": ["Read,Bash"]}, 422, "tools.0"),
    ({"tools": ["Read Bash"]}, 422, "tools.0"),
    ({"tools": ["Read --dangerously-skip-permissions"]}, 422, "tools.0"),
    ({"agent": {"permission_mode": "bypassPermissions"}}, 422, "agent.permission_mode"),
    ({"agent": {"permission_mode": "acceptEdits"}}, 403, "agent.permission_mode"),
    ({"agent": {"working_directory": "/"}}, 403, "agent.working_directory"),
    ({"agent": {"add_directories": ["/etc"]}}, 403, "agent.add_directories"),
    ({"model": "opus"}, 403, "model"),
]


async def test_what_a_key_was_not_given_is_refused_by_its_field_and_starts_nothing(
    enter: Enter, local_pool: LocalPool
) -> None:
    caller = await enter(**AGENTS)

    found = []
    for asked, _, _ in ATTACKS:
        answer = await caller.post("/v1/executions", json={"prompt": "hi", **asked})
        found.append((asked, answer.status_code, answer.json().get("field")))

    assert found == ATTACKS
    assert local_pool.runner.runs == []


async def test_a_key_without_sub_agents_brings_none(enter: Enter, local_pool: LocalPool) -> None:
    caller = await enter(tools=("Agent",))

    answer = await caller.post("/v1/executions", json={"prompt": "hi", **brings()})

    assert (answer.status_code, answer.json()["field"]) == (403, "agent.sub_agents")
    assert local_pool.runner.runs == []


GRANTED = [
    brings(),
    brings(model="inherit"),
    brings(model="sonnet"),
    brings(model="claude-sonnet-4-5-20250929"),
    both(tools=["Read"]),
    {"agent": {"sub_agents": {}}},
]


async def test_a_sub_agent_within_its_key_is_taken(enter: Enter, local_pool: LocalPool) -> None:
    caller = await enter(**AGENTS)

    for asked in GRANTED:
        answer = await caller.post("/v1/executions", json={"prompt": "hi", **asked})
        assert answer.status_code == 200, (asked, answer.text)

    taken = [run.launch.agent.sub_agents or {} for run in local_pool.runner.runs]
    assert list(map(set, taken)) == [set(each["agent"]["sub_agents"]) for each in GRANTED]


async def test_a_model_that_the_pool_does_not_know_is_no_sub_agents_either(
    enter: Enter, local_pool: LocalPool
) -> None:
    caller = await enter(tools=("Agent",), sub_agents=True)

    answer = await caller.post("/v1/executions", json={"prompt": "hi", **brings(model="gpt-4o")})

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:claude-pool:model-not-found")
    assert local_pool.runner.runs == []
