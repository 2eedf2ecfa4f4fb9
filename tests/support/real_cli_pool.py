"""A local pool whose subscriptions run the real CLI, against a stand-in for the Messages API."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from localpool import LocalPool, ManualClock, local_pool_at, spec

from pool.claude.binary.installation import Installation
from pool.claude.binary.locate import find_executable
from pool.claude.launch.environment import environment
from pool.claude.process.spawner import ProcessRunner
from pool.subscriptions.spec import SubscriptionSpec


@asynccontextmanager
async def real_cli_pool(
    folder: Path, api_url: str, clock: ManualClock, *, seats: int = 2, slots: int = 3
) -> AsyncIterator[LocalPool]:
    """Ledgers and what runs print are kept below ``data``, the CLI's own below ``claude``."""
    cli = str(find_executable(None, search_path="/nonexistent"))
    executable = Installation(cli, None).executable

    def variables(each: SubscriptionSpec) -> dict[str, str]:
        return environment(
            each,
            parent={"PATH": os.environ["PATH"], "SUB_TOKEN": f"test-token-{each.id}"},
            config_dir=folder / "claude" / each.id,
            home=folder / "home",
            extra={"ANTHROPIC_BASE_URL": api_url},
            is_root=os.geteuid() == 0,
        )

    def runner_of(each: SubscriptionSpec) -> ProcessRunner:
        return ProcessRunner(executable, folder / "data" / "subscriptions" / each.id / "runs")

    pool = await local_pool_at(
        folder / "data",
        *(spec(f"sub{number}", max_concurrent=slots) for number in range(1, seats + 1)),
        clock=clock,
        runner_of=runner_of,
        environment=variables,
    )
    try:
        yield pool
    finally:
        await pool.close()
