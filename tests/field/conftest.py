"""A pool whose CLIs are scripts: the real runner, stores, router and HTTP application, no Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from field_pool import Field, OpenField
from httpx import ASGITransport, AsyncClient
from localpool import ManualClock, local_pool_at, spec
from scripted_cli import Prints, scripted_cli, write_runs

from api.app import create_app
from api.keys import Keys
from pool.claude.installation import Installation
from pool.claude.runner import ProcessRunner
from pool.subscription import SubscriptionSpec

STOP_GRACE = timedelta(seconds=0.2)
"""A CLI that has answered may linger for two and a half times as long."""


@pytest.fixture
async def open_field(tmp_path: Path) -> AsyncIterator[OpenField]:
    """Start a pool with the runs of each subscription; ``settings`` are of all of them."""
    opened: list[Field] = []

    async def start(runs: Mapping[str, Sequence[Prints]], **settings: object) -> Field:
        executable = Installation(str(scripted_cli(tmp_path)), None).executable
        for id_, each in runs.items():
            write_runs(tmp_path / id_ / "scripted", each)

        def runner_of(wanted: SubscriptionSpec) -> ProcessRunner:
            return ProcessRunner(executable, tmp_path / wanted.id / "runs", stop_grace=STOP_GRACE)

        def environment(wanted: SubscriptionSpec) -> dict[str, str]:
            (tmp_path / wanted.id / "claude").mkdir(exist_ok=True)
            return {
                "PATH": "/usr/bin:/bin",
                "CLAUDE_CONFIG_DIR": str(tmp_path / wanted.id / "claude"),
                "RUNS": str(tmp_path / wanted.id / "scripted"),
            }

        pool = await local_pool_at(
            tmp_path,
            *(spec(id_, **settings) for id_ in runs),
            clock=ManualClock(),
            runner_of=runner_of,
            environment=environment,
        )
        app = create_app(pool.client, Keys({}), clock=pool.clock)
        transport = ASGITransport(app=app)
        http = AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=30)
        opened.append(Field(pool, http))
        return opened[-1]

    yield start
    for each in opened:
        await each.http.aclose()
        await each.pool.close()
