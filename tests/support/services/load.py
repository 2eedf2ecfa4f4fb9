"""Load on a real service whose CLI is a stub that answers at once, so that what is measured is the
pool: HTTP, Ray, SQLite, and one process a run. Every client asks again as soon as it was answered;
where it was refused, after a moment. What no document promises is a violation.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, quantiles

import httpx

from tests.support.clis.stubcli import stub_cli
from tests.support.services.service import Service
from tests.support.suite.ports import free_port

SUBSCRIPTIONS, SLOTS = 4, 8
REFUSALS = {
    429: {"urn:claude-pool:exhausted"},
    503: {"urn:claude-pool:unavailable", "urn:claude-pool:peer-lost"},
}
MOST_PATIENCE_SECONDS = 1.0
"""Sooner than Retry-After says: this is load, not manners."""
SAMPLE_SECONDS = 0.5
ACTORS = ("RouterShell", "SubscriptionShell")


@dataclass
class Tally:
    """What came of it."""

    seconds: list[float] = field(default_factory=list)
    """Of each execution that was served."""
    refusals: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    lasted_seconds: float = 0
    rss_mib: dict[str, list[float]] = field(default_factory=dict)
    """By process, a figure for each sample."""

    def growth(self) -> dict[str, float]:
        """By process, the last quarter's memory over the second quarter's."""
        return {
            name: fmean(samples[-(len(samples) // 4) :]) / fmean(_second_quarter(samples))
            for name, samples in self.rss_mib.items()
            if len(samples) >= 4
        }

    def lines(self) -> Iterator[str]:
        marks = quantiles(self.seconds, n=100) if len(self.seconds) > 1 else [0.0] * 99
        rate = len(self.seconds) / self.lasted_seconds
        yield f"{len(self.seconds)} executions in {self.lasted_seconds:.1f} s: {rate:.1f} a second"
        yield f"p50 {marks[49]:.2f} s, p99 {marks[98]:.2f} s"
        yield f"refused: {dict(self.refusals) or 'never'}"
        growth = self.growth()
        for name, samples in sorted(self.rss_mib.items()):
            grown = f", last quarter / second: {growth[name]:.3f}" if name in growth else ""
            yield f"{name}: {samples[0]:.0f} MiB at first, {samples[-1]:.0f} at last{grown}"
        for what, count in self.violations.items():
            yield f"VIOLATION: {what} ({count} times)"


def _second_quarter(samples: list[float]) -> list[float]:
    quarter = len(samples) // 4
    return samples[quarter : 2 * quarter]


def write_config(folder: Path) -> Path:
    """A pool.toml with the stub for a CLI, in a folder."""
    subscriptions = "".join(
        f'[[subscriptions]]\nid = "sub{n}"\nmax_concurrent = {SLOTS}\n'
        f'credential = {{ oauth_token_env = "SUB{n}_TOKEN" }}\n'
        for n in range(1, SUBSCRIPTIONS + 1)
    )
    path = folder / "pool.toml"
    path.write_text(
        f'[pool]\ndata_dir = "data"\n[server]\nport = {free_port()}\n'
        f'[claude]\npath = "{stub_cli(folder)}"\n{subscriptions}',
        encoding="utf-8",
    )
    return path


@contextmanager
def loaded_service(folder: Path) -> Iterator[Service]:
    service = Service(write_config(folder))
    service.start()
    try:
        yield service
    finally:
        service.stop()


# -- clients -------------------------------------------------------------------------------------


async def run(service: Service, clients: int, seconds: float) -> Tally:
    """Have so many clients ask for so long, and wait for their last answers."""
    tally, began = Tally(), time.monotonic()
    until = began + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(
        base_url=service.url,
        headers=service.operator,
        timeout=60,
        trust_env=False,
        limits=limits,
    ) as http:
        sampling = asyncio.create_task(_sample(service, tally))
        await asyncio.gather(*(_client(http, tally, until) for _ in range(clients)))
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    tally.lasted_seconds = time.monotonic() - began
    return tally


async def _client(http: httpx.AsyncClient, tally: Tally, until: float) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            answer = await http.post("/v1/executions", json={"prompt": "say yes"})
        except httpx.HTTPError as error:
            tally.violations[f"no answer: {type(error).__name__}"] += 1
            await asyncio.sleep(0.1)
            continue
        body = answer.json()
        if answer.status_code == 200 and body["status"] == "succeeded":
            tally.seconds.append(time.monotonic() - began)
        elif _is_refusal(answer):
            tally.refusals[body["type"]] += 1
            wait = float(answer.headers["retry-after"])
            await asyncio.sleep(min(wait, MOST_PATIENCE_SECONDS))
        else:
            what = body.get("error") or body.get("type") or body.get("status")
            tally.violations[f"{answer.status_code} {what}"] += 1


def _is_refusal(answer: httpx.Response) -> bool:
    known = REFUSALS.get(answer.status_code, set())
    return "retry-after" in answer.headers and answer.json()["type"] in known


# -- memory --------------------------------------------------------------------------------------


async def _sample(service: Service, tally: Tally) -> None:
    processes = await asyncio.to_thread(_processes, service)
    while True:
        for name, rss in processes.items():
            tally.rss_mib.setdefault(name, []).append(rss())
        await asyncio.sleep(SAMPLE_SECONDS)


def _processes(service: Service) -> dict[str, Callable[[], float]]:
    """The service and its actors, each with a way to ask for its memory in MiB."""
    assert service.process is not None
    found = {"server": service.process.pid}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (title := _title(entry)) and _is_of(entry, service):
            found[f"{title} {entry.name}"] = int(entry.name)
    return {name: lambda pid=pid: _rss_mib(pid) for name, pid in found.items()}  # type: ignore[misc]


def _title(entry: Path) -> str:
    try:
        title = (entry / "cmdline").read_bytes()
    except OSError:
        return ""
    return next((each for each in ACTORS if title.startswith(f"ray::{each}".encode())), "")


def _is_of(entry: Path, service: Service) -> bool:
    try:
        return any(
            str(fd.readlink()).startswith(str(service.data_dir)) for fd in (entry / "fd").iterdir()
        )
    except OSError:
        return False


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
