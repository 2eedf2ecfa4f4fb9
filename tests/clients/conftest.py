"""One local pool, and the three ways to use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from actors.client.blocking import BlockingPoolClient
from actors.client.client import PoolClient
from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.claude.launch.launch_spec import Launch
from pool.config import ApiKeySpec, ServerSettings
from tests.support.callers.crossing import Crossing
from tests.support.callers.drivers import Blocking, HttpClient
from tests.support.clis.fake_runner import FakeRun, FakeRunner
from tests.support.clis.stubcli import SLOW
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec


class PromptedRunner(FakeRunner):
    """Leaves a run open where its prompt says so."""

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> FakeRun:
        self.hold = SLOW in launch.prompt
        return await super().start(launch, environment)


@pytest.fixture
async def runner() -> FakeRunner:
    return PromptedRunner()


@pytest.fixture
async def pool(open_pool: Any, monkeypatch: pytest.MonkeyPatch) -> LocalPool:
    monkeypatch.setenv("SUB9_TOKEN", "test-token-9")
    opened: LocalPool = await open_pool(
        *(spec(f"sub{n}", max_concurrent=2) for n in (1, 2)),
    )
    return opened


@pytest.fixture
async def remote(pool: LocalPool) -> PoolClient:
    """A client that is in another process, as it were."""
    return PoolClient(Crossing(pool.actors), pool.clock)


@pytest.fixture
async def http(pool: LocalPool, remote: PoolClient) -> AsyncIterator[HttpClient]:
    keys = Keys.read(
        [ApiKeySpec(name="operator", key_env="OPERATOR", scopes=("execute", "read", "admin"))],
        {"OPERATOR": "test-key-of-a-caller"},
    )
    app = create_app(remote, keys, clock=pool.clock, credential_env=("SUB9_TOKEN",))
    async with (
        listening(app, bound(ServerSettings(port=0))) as url,
        httpx.AsyncClient(
            base_url=url,
            timeout=30,
            trust_env=False,
            headers={"Authorization": "Bearer test-key-of-a-caller"},
        ) as client,
    ):
        yield HttpClient(client)


@pytest.fixture
def blocking(remote: PoolClient) -> Any:
    with BlockingPoolClient(remote) as client:
        yield Blocking(client)


@pytest.fixture(params=["http", "async", "blocking"])
def client(request: pytest.FixtureRequest) -> Any:
    name = "remote" if request.param == "async" else request.param
    return request.getfixturevalue(name)
