"""A pool whose CLIs are scripts: the real runner, stores, router and HTTP application, no Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from actors.client.client import PoolClient
from api.server.app import create_app
from api.web.authentication import Keys
from pool.claude.binary.installation import Installation
from pool.claude.process.process_runner import ProcessRunner
from tests.support.clis.one_zygote import one_zygote
from tests.support.clis.scripted_cli import Prints, scripted_cli, write_runs
from tests.support.field.field_cases import Case
from tests.support.field.field_pool import Field, OpenField
from tests.support.field.printed_runs import PrintedRunner
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

__all__ = ["one_zygote"]

STOP_GRACE = timedelta(seconds=0.2)
"""A CLI that has answered may linger for two and a half times as long."""


class Served:
    """The pool of the case that is gone through; as a client, its client."""

    pool: LocalPool

    def now(self) -> datetime:
        return self.pool.clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool.client, name)


@pytest.fixture(scope="session")
def served() -> Served:
    return Served()


@pytest.fixture(scope="session")
def app(served: Served) -> FastAPI:
    """One application for all cases: it takes longer to make than a case to go through."""
    client = cast("PoolClient", served)
    return create_app(client, Keys({}), clock=served.now)


@pytest.fixture
async def open_field(tmp_path: Path, served: Served, app: FastAPI) -> AsyncIterator[OpenField]:
    """Start a pool for a case. Its runs are processes, or are read without any."""
    opened: list[Field] = []

    async def start(case: Case, *, as_processes: bool = False) -> Field:
        clock = ManualClock()
        runners = {
            id_: _processes(tmp_path, id_, runs) if as_processes else PrintedRunner(runs, clock)
            for id_, runs in case.runs.items()
        }
        pool = await local_pool_at(
            tmp_path,
            *(spec(id_, **case.settings, **case.each.get(id_, {})) for id_ in case.runs),
            clock=clock,
            runner_of=lambda wanted: runners[wanted.id],
            environment=lambda wanted: _environment(tmp_path / wanted.id),
        )
        served.pool = pool
        transport = ASGITransport(app=app)
        http = AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=30)
        opened.append(Field(pool, http))
        return opened[-1]

    yield start
    for each in opened:
        await each.http.aclose()
        await each.pool.close()


def _processes(folder: Path, id_: str, runs: Sequence[Prints]) -> ProcessRunner:
    executable = Installation(str(scripted_cli(folder)), None).executable
    write_runs(folder / id_ / "scripted", runs)
    return ProcessRunner(executable, folder / id_ / "runs", stop_grace=STOP_GRACE)


def _environment(folder: Path) -> dict[str, str]:
    (folder / "claude").mkdir(parents=True, exist_ok=True)
    return {
        "PATH": "/usr/bin:/bin",
        "CLAUDE_CONFIG_DIR": str(folder / "claude"),
        "RUNS": str(folder / "scripted"),
        "SUBSCRIPTION": folder.name,
    }
