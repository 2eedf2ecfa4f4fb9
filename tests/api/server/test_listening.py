from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.server import listening as module
from api.server.listening import bound, listening
from pool.config import ServerSettings
from pool.errors import ConfigError
from tests.support.clis.fake_runner import FakeRun
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed


def test_a_taken_port_is_told_before_anything_is_started() -> None:
    with bound(ServerSettings(port=0)) as listener:
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(ConfigError, match=f"server.port: cannot listen on 127.0.0.1:{port}"):
            bound(ServerSettings(port=port))


async def test_requests_are_taken_inside_the_block_and_not_after(app: FastAPI) -> None:
    with bound(ServerSettings(port=0)) as listener:
        async with AsyncClient() as http:
            async with listening(app, listener) as url:
                alive = await http.get(f"{url}/healthz")

            with pytest.raises(OSError):  # noqa: PT012 - the connection is what is tried
                _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
                writer.close()

    assert alive.json() == {"status": "ok"}


async def hung_up(http: AsyncClient, pool: LocalPool, body: dict[str, object]) -> FakeRun:
    """Ask, and hang up once it runs."""
    asking = asyncio.create_task(http.post("/v1/executions", json=body))
    (run,) = await pool.runner.wait_for_runs(1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return run


async def test_a_caller_that_hangs_up_does_not_end_its_run(
    app: FastAPI, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    with bound(ServerSettings(port=0)) as listener:
        async with (
            listening(app, listener) as url,
            AsyncClient(base_url=url, timeout=30, verify=False) as http,
        ):
            run = await hung_up(http, local_pool, {"prompt": "say yes"})
            run.end(completed("done"))

            found = await http.get(f"/v1/executions/{run.run_id}", params={"wait_seconds": 5})

    assert not run.stopped
    assert found.json()["result"] == "done"


async def test_a_caller_that_hangs_up_ends_its_run_where_it_asked_for_that(
    app: FastAPI, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    body = {"prompt": "say yes", "cancel_on_disconnect": True}
    with bound(ServerSettings(port=0)) as listener:
        async with (
            listening(app, listener) as url,
            AsyncClient(base_url=url, timeout=30, verify=False) as http,
        ):
            run = await hung_up(http, local_pool, body)

            found = await http.get(f"/v1/executions/{run.run_id}", params={"wait_seconds": 5})

    assert run.stopped
    assert found.json()["status"] == "cancelled"


async def test_who_still_waits_at_the_end_is_told_that_the_run_goes_on(
    app: FastAPI, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 1)
    local_pool.runner.hold = True
    with bound(ServerSettings(port=0)) as listener:
        async with AsyncClient(timeout=30) as http:
            async with listening(app, listener) as url:
                waiting = asyncio.create_task(
                    http.post(f"{url}/v1/executions", json={"prompt": "say yes"})
                )
                (run,) = await local_pool.runner.wait_for_runs(1)
            told = await waiting

    assert told.status_code == 503
    assert told.json()["type"] == "urn:claude-pool:stopping"
    assert not run.stopped
    run.end(completed())
