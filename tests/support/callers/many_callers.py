"""A service with many callers: a real HTTP server before a local pool, on a thread of its own, and
a client for each key. One for a whole module of tests, which bring their own executions along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.config import ServerSettings
from pool.keys.api_keys import IssuedKey, KeySpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

T = TypeVar("T")

CALLERS = (
    KeySpec(name="alice", scopes=("execute",), tenant="team"),
    KeySpec(name="anna", scopes=("execute",), tenant="team"),
    KeySpec(name="watcher", scopes=("read",), tenant="team"),
    KeySpec(name="mallory", scopes=("execute",)),
    KeySpec(name="both", scopes=("execute", "read")),
    KeySpec(name="reader", scopes=("read",)),
    KeySpec(name="auditor", scopes=("read_all",)),
    KeySpec(name="auditing-runner", scopes=("execute", "read_all")),
    KeySpec(name="reporter", scopes=("report",)),
    KeySpec(name="admin", scopes=("admin",)),
)
ANONYMOUS = "nobody"
"""Brings no key."""


@dataclass
class Service:
    url: str
    pool: LocalPool
    portal: BlockingPortal
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def runner(self) -> FakeRunner:
        return self.pool.runner

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """What a call comes to in the event loop of the service."""
        return self.portal.call(function)

    def make(self, key: KeySpec) -> httpx.Client:
        """A client with a new key."""
        issued: IssuedKey = self.call(partial(self.pool.client.create_key, key))
        return self.enter(key.name, issued.secret.get_secret_value())

    def enter(self, name: str, secret: str | None) -> httpx.Client:
        headers = {} if secret is None else {"x-api-key": secret}
        self.secrets[name] = secret or ""
        self.clients[name] = httpx.Client(base_url=self.url, headers=headers, timeout=30)
        return self.clients[name]

    def __getitem__(self, name: str) -> httpx.Client:
        return self.clients[name]

    def run(self, name: str = "alice", **body: Any) -> dict[str, Any]:
        """An execution of somebody's, later than any before, and some time ago."""
        self.pool.clock.advance(timedelta(milliseconds=1))
        answer = self[name].post("/v1/executions", json={"prompt": f"a secret of {name}", **body})
        self.pool.clock.advance(timedelta(milliseconds=1))
        assert answer.status_code in {200, 202}, answer.text
        execution: dict[str, Any] = answer.json()
        return execution


@contextmanager
def many_callers(
    folder: Path, callers: Sequence[KeySpec] = CALLERS, operator: str | None = None
) -> Iterator[Service]:
    """The service with its keys, and that of its operator."""

    @asynccontextmanager
    async def running() -> AsyncIterator[tuple[str, LocalPool]]:
        runner, clock = FakeRunner(), ManualClock()
        specs = [spec(f"sub{n}", max_concurrent=20) for n in (1, 2)]
        pool = await local_pool_at(folder, *specs, clock=clock, runner_of=lambda _: runner)
        pool.runner = runner
        app = create_app(pool.client, Keys({}, operator), clock=clock)
        with bound(ServerSettings(port=0)) as listener:
            async with listening(app, listener) as url:
                yield url, pool
        await pool.close()

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running()) as there:
        service = Service(*there, portal)
        for each in sorted(callers, key=lambda key: "admin" not in key.scopes):
            service.make(each)
        service.enter(ANONYMOUS, None)
        yield service
        for client in service.clients.values():
            client.close()
