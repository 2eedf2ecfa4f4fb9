"""``serve``: the pool and its HTTP service in one process, from start to orderly end.

Signals are taken here: uvicorn would raise them again once it has stopped, and Ray ends the process
at once, both before the pool is put away in order. A second signal ends what is still busy.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from actors.aiokit import end
from actors.runtime.serving import serving
from actors.telemetry.exporter import tracing_to
from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from api.web.operator_key import FILE, ensure_operator_key
from pool.config import Config, environment


class _Ending:
    """Turns signals into the end of ``serve``: in order once it is ready, at once before."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._stopped = asyncio.Event()
        self._ready = False

    def listen(self) -> None:
        """Take the signals, from whoever took them since."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._tell)

    async def wait(self) -> None:
        self._ready = True
        await self._stopped.wait()

    def _tell(self) -> None:
        if self._task is not None and (not self._ready or self._stopped.is_set()):
            self._task.cancel()
        self._stopped.set()


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run the pool and its HTTP service until SIGTERM or SIGINT; ``announce`` gets one line when
    requests are taken.
    """
    ending = _Ending()
    ending.listen()
    operator, is_new = await asyncio.to_thread(ensure_operator_key, config.pool.data_dir)
    keys = Keys.read(config.api_keys, environment(), operator)
    tracing = tracing_to(config.tracing.endpoint, "api")
    with bound(config.server) as listener:
        async with serving(config) as pool:
            ending.listen()
            app = create_app(
                pool.client,
                keys,
                claude=config.claude,
                credential_env=config.server.credential_env,
                is_cluster=config.ray.is_cluster,
                tracing=tracing,
            )
            async with listening(app, listener) as url:
                announce(ready_line(config, url))
                if is_new:
                    announce(operator_line(config, operator, shown=sys.stdout.isatty()))
                await _first(ending.wait(), pool.lost())
                await pool.stop()
    await tracing.close()


async def _first(*waits: Coroutine[Any, Any, None]) -> None:
    """Wait for the first of them; what that raises is raised."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


def operator_line(config: Config, key: str, *, shown: bool) -> str:
    """What the operator is told once, at the first start. The key itself on a terminal alone: what
    a service prints elsewhere ends in a log.
    """
    what = f"the operator's key, told once: {key}" if shown else "the operator's key was made"
    return f"{what}; kept in {config.pool.data_dir / FILE}, where claude-pool finds it by itself"


def ready_line(config: Config, url: str) -> str:
    """What an operator wants to read when the service is up."""
    ids = ", ".join(spec.id for spec in config.subscriptions)
    subscriptions = f"subscriptions {ids}" if ids else "no subscription yet"
    keys = ", ".join(key.name for key in config.api_keys)
    access = f"keys of {keys}" if keys else "no keys, this machine only"
    what = f"{subscriptions}; {access}; data in {config.pool.data_dir}"
    return f"claude-pool listens on {url}: {what}"
