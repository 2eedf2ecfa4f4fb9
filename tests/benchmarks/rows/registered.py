"""What registered subscriptions cost that nobody uses: a real service on a real Ray, of which ten
are at work now and then, with 10, 100 and 1,000 of them in its ``pool.toml``.

CPU and memory are of the service and of everything that it started, by the kernel's account of each
process, so that what else the machine does weighs on start-up times alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from tests.benchmarks.figure import Effort, Figure, Row
from tests.benchmarks.process_tree import cpu_seconds, memory_mib, tree
from tests.support.clis.stubcli import stub_cli
from tests.support.services.service import NO_TLS, Service, write_config
from tests.support.services.turns import starting_ray
from tests.support.stores.postgres import Server

REGISTERED = (10, 100, 200, 1_000)
ACTIVE = 10
NOWHERE = "http://127.0.0.1:9"
READY_SECONDS = 300.0
SETTLE_SECONDS = 75.0
"""Newcomers beyond the first are up for a minute each; what a start does is over by then."""
WINDOW_SECONDS = 15.0
"""As long as the router takes to make the reports of all who sleep once."""
PAGES = ("/v1/subscriptions", "/v1/pool", "/metrics")


@dataclass
class Found:
    """What was measured with one number of subscriptions."""

    ready: float = 0
    """Seconds from ``serve`` to the first ``/readyz`` that says so."""
    work: float = 0
    """Seconds of a core until then, of all processes: whatever else the machine does."""
    again: float = 0
    """The same for the next start, with what the first has left."""
    shares: list[float] = field(default_factory=list)
    """Percents of a core."""
    sizes: list[float] = field(default_factory=list)
    """MiB."""
    awake: list[float] = field(default_factory=list)
    """Seconds of a request."""
    asleep: list[float] = field(default_factory=list)
    pages: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Milliseconds of CPU that one answer takes, of all processes, and its kilobytes."""


def _configured(folder: Path, count: int, store: str = "") -> Service:
    more = f'path = "{stub_cli(folder)}"\n'
    config = write_config(folder, NOWHERE, subscriptions=count, slots=8, more=more)
    if store:
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("[pool]\n", f'[pool]\nstore = "{store}"\n'), "utf-8")
    tokens = {f"SUB{n}_TOKEN": f"test-token-{n}" for n in range(1, count + 1)}
    return Service(config, tokens, READY_SECONDS)


def _began(service: Service) -> float:
    """Seconds until it is ready."""
    with starting_ray():
        began = time.perf_counter()
        service.begin()
        while time.perf_counter() - began < READY_SECONDS:
            try:
                answer = httpx.get(f"{service.url}/readyz", trust_env=False, verify=NO_TLS)
                if answer.status_code == 200:
                    return time.perf_counter() - began
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(service.log.read_text(encoding="utf-8")[-2000:])


def _asked(client: httpx.Client, subscription: int) -> float:
    """Seconds of a request to one subscription."""
    body = {"prompt": "q", "subscription_id": f"sub{subscription}"}
    began = time.perf_counter()
    answer = client.post("/v1/executions", json=body)
    took = time.perf_counter() - began
    if answer.status_code != 200 or answer.json()["status"] != "succeeded":
        raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
    return took


def _work(client: httpx.Client) -> None:
    """Have each of the active ones run something."""
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda n: _asked(client, n), range(1, ACTIVE + 1)))


def _cost(client: httpx.Client, root: int, path: str) -> tuple[float, float]:
    """What an answer takes; five of them, since the kernel counts by hundredths of a second."""
    size, processes = len(client.get(path).content), tree(root)
    before = cpu_seconds(processes)
    for _ in range(5):
        client.get(path)
    return 1000 * (cpu_seconds(processes) - before) / 5, size / 1000


@contextmanager
def _running(count: int, store: str = "") -> Iterator[tuple[Service, Found]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        service, found = _configured(Path(name), count, store), Found()
        try:
            found.ready = _began(service)
            assert service.process is not None
            found.work = cpu_seconds(tree(service.process.pid))
            yield service, found
        finally:
            service.stop()


def measured(count: int, rounds: int) -> Found:
    with _running(count) as (service, found), service.client() as client:
        assert service.process is not None
        _work(client)
        time.sleep(SETTLE_SECONDS)
        for _ in range(rounds):
            processes = tree(service.process.pid)
            before, began = cpu_seconds(processes), time.perf_counter()
            time.sleep(WINDOW_SECONDS)
            used = cpu_seconds(processes) - before
            found.shares.append(100 * used / (time.perf_counter() - began))
            found.sizes.append(memory_mib(processes))
        for path in PAGES:
            found.pages[path] = _cost(client, service.process.pid, path)
        for n in range(1, rounds + 1):
            found.awake.append(_asked(client, n))
            if count > ACTIVE:
                found.asleep.append(_asked(client, count - n))
        service.stop()
        found.again = _began(service)
    return found


def registered(effort: Effort) -> Iterator[Figure]:
    few, *more = REGISTERED if not effort.is_quick else REGISTERED[::3]
    rounds = max(2, effort.rounds // 2)
    base = measured(few, rounds)
    for count in (few, *more):
        found = base if count == few else measured(count, rounds)
        which, of = f"{count:,} registered", f"{few} registered"
        yield Figure.of(f"serve to ready, {which}", "s", [found.ready], of, [base.ready])
        yield Figure.of(f"CPU until ready, {which}", "s", [found.work], of, [base.work])
        yield Figure.of(f"the next start, {which}", "s", [found.again], of, [base.again])
        yield Figure.of(f"CPU at rest, {which}", "% of a core", found.shares, of, base.shares)
        yield Figure.of(f"memory, {which}", "MiB", found.sizes, of, base.sizes)
        for path, (cpu, size) in found.pages.items():
            base_cpu, base_size = base.pages[path]
            yield Figure.of(f"CPU of {path}, {which}", "ms", [cpu], of, [max(base_cpu, 1)])
            yield Figure.of(f"size of {path}, {which}", "kB", [size], of, [base_size])
        if found.asleep:
            asleep, awake = found.asleep, [median(found.awake)]
            yield Figure.of(f"first request, {which}", "s", asleep, "of one that is awake", awake)


def connections(effort: Effort) -> Iterator[Figure]:
    """PostgreSQL's connections of a pool at rest of which ten have just worked."""
    few, *more = REGISTERED if not effort.is_quick else REGISTERED[::3]
    base = _connections(few)
    for count in (few, *more):
        found = base if count == few else _connections(count)
        which, of = f"{count:,} registered", f"{few} registered"
        for when, value, before in zip(("at work", "at rest"), found, base, strict=True):
            name = f"connections {when}, {which}"
            yield Figure.of(name, "", [value], of, [max(before, 1)])


def _connections(count: int) -> tuple[float, float]:
    """While ten work, and 15 s later."""
    server = Server()
    server.start()
    try:
        with _running(count, server.fresh_schema()) as (service, _), service.client() as client:
            seen: list[float] = []
            with ThreadPoolExecutor(1) as threads:
                working = threads.submit(_work, client)
                while not working.done():
                    seen.append(_open(server))
                    time.sleep(0.1)
                working.result()
            time.sleep(15)
            return max(seen), _open(server)
    finally:
        server.close()


def _open(server: Server) -> float:
    """Connections of others than who asks."""
    counted = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
    return float(server.sql(counted))


ROWS = (
    Row("registered", "Subscriptions that are registered, ten of them active", registered),
    Row("connections", "PostgreSQL's connections by registered subscriptions", connections),
)
