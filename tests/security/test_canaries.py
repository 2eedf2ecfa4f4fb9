"""No field of a request runs a program that its key does not grant: a real shell, and a real CLI.

Commands are brought by each field, in every way that the CLI, or git below it, is known to read
one. The model is in league with the caller: whatever else it is asked, it calls ``Bash``. The
command leaves a canary, a file of the field's name; there must be none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.permissions import AgentSettings
from pool.keys.api_keys import KeySpec
from tests.support.clis.traps import set_traps
from tests.support.pools.localpool import LocalPool
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.values.manual_clock import ManualClock

pytestmark = pytest.mark.slow

MODEL = "claude-sonnet-4-5"
TOKEN = "test-token-sub1"
TOOLS = ("Agent", "Read", "Write", "Edit", "Glob", "Grep", "Skill", "WebFetch", "NotebookEdit")


@dataclass
class Coop:
    """A pool on the stand-in, a directory in it that is granted, and the place for canaries."""

    pool: LocalPool
    api: Server
    work: Path
    canaries: Path

    def sings(self, name: str) -> str:
        """A command that leaves a canary."""
        return f"touch {self.canaries}/{name}"

    async def run(self, caller: str, **body: Any) -> Execution:
        asked = body if "messages" in body else {"prompt": "hello", **body}
        request = ExecutionRequest.model_validate({"model": MODEL, **asked})
        return await self.pool.client.execute(request, caller=caller)

    @property
    def sung(self) -> list[str]:
        return sorted(each.name for each in self.canaries.iterdir())


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app()) as server:
        yield server


@pytest.fixture
async def coop(api: Server, tmp_path: Path) -> AsyncIterator[Coop]:
    work, clock = tmp_path / "work", ManualClock(datetime.now(UTC))
    for folder in (work, tmp_path / "canaries"):
        folder.mkdir()
    api.standin.reset()
    how = {"subscriptions": 1, "roots": (work,)}
    async with real_cli_pool(tmp_path, api.url, clock, **how) as pool:
        await pool.client.create_key(
            KeySpec(
                name="caller",
                scopes=("execute", "read", "admin"),
                tools=TOOLS,
                working_directories=(work,),
                permission_modes=("acceptEdits", "plan"),
                sub_agents=True,
                models=(MODEL,),
            )
        )
        await pool.client.create_key(KeySpec(name="shell", tools=("Bash",)))
        yield Coop(pool, api, work, tmp_path / "canaries")


def fields(sings: Callable[[str], str], work: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Requests that bring commands, by the fields that do. Those of one request keep none of each
    other from being read. Lays traps in a directory to work in.
    """
    set_traps(work, lambda trap: sings(f"trap-{trap}"))
    agent = {"description": sings("description"), "prompt": f"!`{sings('sub_agents')}`"}
    call = {"description": "d", "prompt": f"!{sings('called')}", "subagent_type": "x"}
    everything = {"tools": list(TOOLS)}
    return {
        ("prompt", "system_prompt", "metadata", "model_settings"): {
            "prompt": f"!{sings('prompt')}",
            "system_prompt": f"!`{sings('system_prompt')}` $({sings('system_prompt')})",
            "metadata": {"a": f"$({sings('metadata')})"},
            "model_settings": {"stop_sequences": [f"'; {sings('model_settings')}; '"]},
        },
        ("json_schema",): {
            "prompt": "hello [[standin answer]]",
            "json_schema": {"type": "object", "description": f"'; {sings('json_schema')}; '"},
        },
        ("messages",): {
            "messages": [
                {"role": "user", "content": f"!{sings('messages')}"},
                {"role": "assistant", "content": f"!`{sings('messages')}`"},
                {"role": "user", "content": f"/bash {sings('messages')}"},
            ]
        },
        ("client_tools",): {
            "client_tools": [{"name": "x", "description": f"!`{sings('client_tools')}`"}],
        },
        ("tools", "agent.add_directories", "agent.append_system_prompt"): {
            **everything,
            "prompt": f"/bash {sings('tools')}\n$({sings('tools')})",
            "agent": {
                "add_directories": [str(work)],
                "append_system_prompt": f"!`{sings('append_system_prompt')}`",
            },
        },
        ("agent.working_directory", "agent.permission_mode"): {
            **everything,
            "prompt": f"/trapped {sings('working_directory')}",
            "agent": {"working_directory": str(work), "permission_mode": "acceptEdits"},
        },
        ("agent.sub_agents",): {
            **everything,
            "prompt": f"go [[standin tool name=Agent input={json.dumps(call)}]]",
            "agent": {"sub_agents": {"x": agent}, "working_directory": str(work)},
        },
    }


OF_FORM = {
    *("session_id", "subscription_id", "model", "images", "max_turns", "max_budget_usd"),
    *("timeout_seconds", "fork_session", "session_busy", "queue_timeout_seconds"),
    *("background", "stream", "cancel_on_disconnect", "tool_choice"),
    "agent.mcp_servers",  # granted or not, as a whole: see test_grants
}
"""Fields that can hold no command: ids, numbers, choices, and bytes that are an image."""


async def test_no_field_runs_a_program_though_the_model_helps(coop: Coop) -> None:
    cases = fields(coop.sings, coop.work)
    tries = {"command": coop.sings("the-models-own"), "description": "d"}
    coop.api.standin.always(Behaviour(kind="tool", name="Bash", input=tries))

    ended = await asyncio.gather(*(coop.run("caller", **body) for body in cases.values()))

    assert coop.sung == []
    found = dict(zip(cases, (each.status for each in ended), strict=True))
    assert found == dict.fromkeys(cases, ExecutionStatus.SUCCEEDED)
    tried = [each.body for each in coop.api.standin.requests.all(TOKEN) if "tool_use" in str(each)]
    assert len(tried) >= len(cases) - 1  # it did call: all but the answer to a schema


async def test_a_canary_sings_where_a_shell_is_granted(coop: Coop) -> None:
    tries = {"command": coop.sings("granted"), "description": "d"}
    coop.api.standin.always(Behaviour(kind="tool", name="Bash", input=tries))

    await coop.run("shell", tools=["Bash"])

    assert coop.sung == ["granted"]


def test_every_field_is_tried(tmp_path: Path) -> None:
    agent = {f"agent.{name}" for name in AgentSettings.model_fields}
    known = {*ExecutionRequest.model_fields, *agent} - {"agent"}

    tried = {field for request in fields(str, tmp_path) for field in request}
    assert {*tried, *OF_FORM} == known


async def test_a_key_for_one_model_is_billed_for_no_other(coop: Coop) -> None:
    call = {"description": "d", "prompt": "p", "subagent_type": "general-purpose", "model": "opus"}

    ended = await coop.run(
        "caller", prompt=f"go [[standin tool name=Agent input={json.dumps(call)}]]", tools=["Agent"]
    )

    asked = [each.body or {} for each in coop.api.standin.requests.all(TOKEN, path="/v1/messages")]
    assert ended.status is ExecutionStatus.SUCCEEDED
    assert len(asked) >= 3  # the sub-agent among them
    assert {each["model"] for each in asked} == {MODEL}
