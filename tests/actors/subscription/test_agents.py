"""Requests for tools and directories, from the caller's grant to the launch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pool.errors import InvalidRequest, NotPermitted
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.permissions import Grant
from pool.keys.api_keys import KeySpec
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec

OpenPool = Callable[..., Awaitable[LocalPool]]


def asks(**fields: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "work", **fields})


@pytest.mark.parametrize(
    "body",
    [{"tools": ["Read"]}, {"agent": {"mcp_servers": {}}}, {"agent": {"working_directory": "/"}}],
)
async def test_nothing_is_granted_to_a_caller_without_a_key(
    local_pool: LocalPool, body: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        await local_pool.client.execute(asks(**body))

    assert local_pool.runner.runs == []


async def test_a_program_of_the_cluster_says_itself_what_it_grants(local_pool: LocalPool) -> None:
    await local_pool.client.execute(asks(tools=["Read"]), grant=Grant(tools=("Read",)))

    assert local_pool.runner.runs[0].launch.tools == ("Read",)


async def test_a_key_grants_its_tools_and_no_others(local_pool: LocalPool) -> None:
    issued = await local_pool.client.create_key(
        KeySpec(name="ci", scopes=("execute", "read", "admin"), tools=("Read",))
    )

    await local_pool.client.execute(asks(tools=["Read"]), caller=issued.key.name)
    with pytest.raises(NotPermitted, match="'Bash' is not granted"):
        await local_pool.client.execute(asks(tools=["Bash"]), caller=issued.key.name)

    assert len(local_pool.runner.runs) == 1


async def test_a_directory_that_leads_outside_fails_by_its_field_and_starts_nothing(
    open_pool: OpenPool, tmp_path: Path
) -> None:
    pool = await open_pool(spec("sub1"))
    (tmp_path / "team").mkdir()
    request = asks(tools=["Read"], agent={"working_directory": str(tmp_path / "team")})

    ended = await pool.client.execute(
        request, grant=Grant(tools=("Read",), working_directories=(tmp_path,))
    )

    assert ended.status is ExecutionStatus.FAILED
    assert ended.error is not None
    assert "agent.working_directory" in ended.error.message
    assert pool.runner.runs == []
