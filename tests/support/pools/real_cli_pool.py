"""A local pool whose subscriptions run the real CLI, against a stand-in for the Messages API."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from pool.claude.binary.installation import Installation
from pool.claude.binary.locate import find_executable
from pool.claude.launch.environment import environment
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_runner import ProcessRunner
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.clis.brief_cli import brief
from tests.support.clis.little_cli import found
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.values.examples import POLICY, spec
from tests.support.values.manual_clock import ManualClock


class LearnedRunner(ProcessRunner):
    """Runs the real CLI, and asks it once for all pools which models it offers: each would start
    one to hear the same, for half a second of a core. ``trips/real_cli`` sees it asked.

    Where ``runs_another`` is one, it runs that, which is taken to offer the same.
    """

    _learned: ClassVar[dict[str, str]] = {}
    _learning: ClassVar[asyncio.Lock] = asyncio.Lock()

    def __init__(
        self, real: Installation, runs_dir: Path, runs_another: Path | None = None, **how: Any
    ) -> None:
        super().__init__(found(runs_another) if runs_another else real.executable, runs_dir, **how)
        self._real = real

    async def models(self, environment: Mapping[str, str]) -> dict[str, str]:
        async with self._learning:
            if not self._learned:
                asked = ProcessRunner(self._real.executable, self._runs_dir)
                self._learned.update(await asked.models(environment))
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
    others: Mapping[str, Path] = MappingProxyType({}),
) -> AsyncIterator[LocalPool]:
    """Ledgers and what runs print are kept below ``data``, the CLI's own below ``claude``.
    ``others``: subscriptions besides that run another CLI, a process for each run.
    """
    known = {"seconds": keep_seconds, "spares": spares, "reuses": reuses}
    keeping = Keeping.model_validate({**known, "places": folder / "places", "most": 6})
    cli = str(find_executable(None, search_path="/nonexistent"))
    real = Installation(cli, None)

    def variables(each: SubscriptionSpec) -> dict[str, str]:
        return environment(
            each,
            parent={"PATH": os.environ["PATH"], "SUB_TOKEN": f"test-token-{each.id}"},
            config_dir=folder / "claude" / each.id,
            home=folder / "home",
            extra=brief(api_url),
            is_root=os.geteuid() == 0,
        )

    def runner_of(each: SubscriptionSpec) -> ProcessRunner:
        runs = folder / "data" / "subscriptions" / each.id / "runs"
        if each.id in others:
            return LearnedRunner(real, runs, others[each.id])
        return LearnedRunner(real, runs, keeping=keeping)

    ids = (*(f"sub{number}" for number in range(1, subscriptions + 1)), *others)
    pool = await local_pool_at(
        folder / "data",
        *(spec(id_, max_concurrent=slots) for id_ in ids),
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
