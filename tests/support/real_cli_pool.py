"""A local pool whose subscriptions run the real CLI, against a stand-in for the Messages API."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from localpool import POLICY, LocalPool, ManualClock, local_pool_at, spec

from pool.claude.binary.installation import Installation
from pool.claude.binary.locate import find_executable
from pool.claude.launch.environment import environment
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_runner import ProcessRunner
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec


class LearnedRunner(ProcessRunner):
    """Runs the real CLI, and asks it once for all pools which models it offers: each would start
    one to hear the same, for half a second of a core. ``test_real_cli`` sees it asked.
    """

    _learned: ClassVar[dict[str, str]] = {}

    async def models(self, environment: Mapping[str, str]) -> dict[str, str]:
        if not self._learned:
            self._learned.update(await super().models(environment))
        return dict(self._learned)


@asynccontextmanager
async def real_cli_pool(
    folder: Path,
    api_url: str,
    clock: ManualClock,
    *,
    subscriptions: int = 2,
    slots: int = 3,
    keep_seconds: float = 0,
    spares: int = 0,
    policy: SubscriptionPolicy = POLICY,
    reuses: bool = False,
    roots: tuple[Path, ...] = (),
) -> AsyncIterator[LocalPool]:
    """Ledgers and what runs print are kept below ``data``, the CLI's own below ``claude``."""
    known = {"seconds": keep_seconds, "spares": spares, "reuses": reuses}
    keeping = Keeping.model_validate({**known, "places": folder / "places", "most": 6})
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
        runs = folder / "data" / "subscriptions" / each.id / "runs"
        return LearnedRunner(executable, runs, keeping=keeping)

    pool = await local_pool_at(
        folder / "data",
        *(spec(f"sub{number}", max_concurrent=slots) for number in range(1, subscriptions + 1)),
        clock=clock,
        runner_of=runner_of,
        environment=variables,
        policy=policy,
        roots=roots,
    )
    try:
        yield pool
    finally:
        await pool.close()
