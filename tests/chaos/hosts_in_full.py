"""Hosts of a cluster that are cut off, frozen, killed and slowed at random, and a database that
goes and comes, under callers who repeat what was not answered. ``make chaos`` alone runs it; one by
one they are in ``tests/trips/cluster/test_node_loss.py``.

What a caller was told stays so; nothing is run or charged twice; and no subscription ever has more
turns at a time than slots, while CLIs of lost nodes go on.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pool.money import nano_usd
from tests.support.chaos.service_under_fire import every_item
from tests.support.chaos.tally import Doubled, Lost, injected
from tests.support.clis.stubcli import runs_of
from tests.support.clusters.hosted_pool import HostedPool, eventually, hosted_pool
from tests.support.clusters.hosts import DATABASE

SECONDS = 180.0
SETTLED_SECONDS = 150.0
"""For what was asked for to be answered once nothing breaks any more."""
SLOTS = 2
CALLERS = 6
SUBSCRIPTIONS = 3
COST_NANO_USD = nano_usd("0.0006")
VICTIMS = ("one", "two")
"""The head is not among them: without Redis it is the cluster."""

pytestmark = pytest.mark.timeout(SECONDS + SETTLED_SECONDS + 240)


class Caller:
    """Asks for one execution after the other, each with its key until it is answered."""

    def __init__(self, pool: HostedPool, number: int, chance: random.Random) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        """What it was told, by prompt."""
        self.refused: Counter[str] = Counter()
        self.wrong: str | None = None
        """An answer that is none of those that it may get, or that none came."""
        self.is_over = threading.Event()
        self.gives_up = float("inf")
        self._pool = pool
        self._number = number
        self._chance = chance
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with self._pool.service.client() as http:
            while not self.is_over.is_set():
                prompt = f"caller {self._number} asks {len(self.answers)}."
                body = {"prompt": f"[[nap {self._chance.choice((0, 0.2, 1, 3))}]] {prompt}"}
                if self._chance.random() < 0.5:
                    id_ = f"sub{self._chance.randint(1, SUBSCRIPTIONS)}"
                    body["subscription_id"] = id_
                key = prompt.rstrip(".").replace(" ", "-")
                if (answer := self._answer(http, body, key)) is None:
                    return
                self.answers[prompt] = answer

    def _answer(self, http: httpx.Client, body: dict[str, Any], key: str) -> dict[str, Any] | None:
        once = {"idempotency-key": key}
        """None, with what is ``wrong``, where it is none that it may get, or none ever comes."""
        began = time.monotonic()
        while time.monotonic() < self.gives_up:
            try:
                answer = http.post("/v1/executions", json=body, headers=once)
            except httpx.HTTPError as error:
                self.refused[type(error).__name__] += 1
            else:
                if answer.status_code == 200:
                    told: dict[str, Any] = answer.json()
                    return told
                self.refused[str(answer.status_code)] += 1
                if answer.status_code not in {429, 503}:
                    self.wrong = answer.text
                    return None
            time.sleep(0.2)
        self.wrong = f"{key} was not answered within {time.monotonic() - began:.0f} s"
        return None


class Storm:
    """What breaks, one thing after the other."""

    def __init__(self, pool: HostedPool, http: httpx.Client, chance: random.Random) -> None:
        self._pool = pool
        self._http = http
        self._chance = chance
        self.kinds: tuple[Callable[[str], None], ...] = (
            *(self._cuts_off, self._isolates, self._kills, self._loses, self._freezes),
            *(self._slows, self._kills_the_database),
        )

    def breaks(self, kind: Callable[[str], None]) -> None:
        name = self._chance.choice(VICTIMS)
        kind(name)
        self._comes_back(name)

    def _wait(self, least: float, most: float) -> None:
        time.sleep(self._chance.uniform(least, most))

    def _cuts_off(self, name: str) -> None:
        """From all other hosts, not from the database."""
        host = self._pool.hosts[name]
        others = [each.address for each in self._pool.hosts.values() if each is not host]
        self._cut(name, *others)

    def _isolates(self, name: str) -> None:
        others = [each.address for each in self._pool.hosts.values() if each.name != name]
        self._cut(name, *others, DATABASE)

    def _cut(self, name: str, *addresses: str) -> None:
        host = self._pool.hosts[name]
        self._pool.network.cut(host, *addresses)
        self._wait(2, 12)
        self._pool.network.heal(host, *addresses)

    def _kills(self, name: str) -> None:
        self._pool.leave(name)
        self._wait(0, 6)

    def _loses(self, name: str) -> None:
        self._pool.lose(name)
        self._wait(0, 6)

    def _freezes(self, name: str) -> None:
        """Its raylet, and sometimes its actors with it."""
        pids = self._pool.pids(name, "raylet/raylet")
        if self._chance.random() < 0.5:
            pids += self._pool.pids(name, "Shell")
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        self._wait(2, 10)
        for pid in pids:
            _signal(pid, signal.SIGCONT)

    def _slows(self, name: str) -> None:
        with self._pool.network.slowed(self._pool.hosts[name], self._chance.uniform(0.01, 0.1)):
            self._wait(3, 8)

    def _kills_the_database(self, _: str) -> None:
        for _again in range(3):
            self._pool.database.kill()
            self._wait(0.2, 2)
            self._pool.database.start()
            self._wait(0.5, 2)

    def _comes_back(self, name: str) -> None:
        """Its raylet has ended, or does so as it hears that it was held to be dead; or not."""
        raylet = self._pool.raylets.get(name)
        if raylet is not None:
            eventually(lambda: raylet.poll() is not None or self._lives(name))
        if raylet is None or raylet.poll() is not None:
            self._pool.join(name)

    def _lives(self, name: str) -> bool:
        try:
            return name in self._pool.nodes(self._http)
        except (httpx.HTTPError, KeyError):  # the router is being started anew
            return False


def _signal(pid: int, number: int) -> None:
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, number)


def test_whatever_becomes_of_hosts_and_links_all_that_was_acknowledged_is_there_once(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - to do it again
    chance = random.Random(seed)
    places = {f"sub{n}": VICTIMS[n % 2] for n in range(1, SUBSCRIPTIONS + 1)}
    with (
        hosted_pool(tmp_path, places=places, subscriptions=SUBSCRIPTIONS, slots=SLOTS) as pool,
        pool.service.client() as http,
        injected(faults=0) as figures,
    ):
        callers = [Caller(pool, n, random.Random(chance.random())) for n in range(CALLERS)]
        storm = Storm(pool, http, chance)
        ends = time.monotonic() + SECONDS
        try:
            while time.monotonic() < ends:
                for kind in chance.sample(storm.kinds, len(storm.kinds)):
                    if time.monotonic() < ends:
                        assert [each.wrong for each in callers] == [None] * CALLERS
                        storm.breaks(kind)
                        figures["faults"] += 1
        finally:
            for caller in callers:
                caller.gives_up = time.monotonic() + SETTLED_SECONDS
                caller.is_over.set()
            for caller in callers:
                caller.thread.join()
        assert [each.wrong for each in callers] == [None] * CALLERS
        told = {prompt: each for caller in callers for prompt, each in caller.answers.items()}
        figures["uncertain"] = check(pool, http, told)
        print(figures, len(told), sum((each.refused for each in callers), Counter()))  # noqa: T201


def check(pool: HostedPool, http: httpx.Client, told: dict[str, dict[str, Any]]) -> int:
    """Raise ``Lost`` or ``Doubled``; how many executions are uncertain."""
    kept = {each["id"]: each for each in every_item(http, "/v1/executions")}
    records = [
        record
        for number in range(1, SUBSCRIPTIONS + 1)
        for record in every_item(http, f"/v1/subscriptions/sub{number}/usage")
    ]
    charged = Counter(record["execution_id"] for record in records)
    for prompt, answer in told.items():
        found = kept.get(answer["id"])
        if found is None or found["status"] != answer["status"]:
            raise Lost(f"{prompt} was {answer['status']}, and is {found and found['status']}")
        if answer["status"] == "succeeded" and not charged[answer["id"]]:
            raise Lost(f"{prompt} is not charged")
        attempts = len(answer["attempts"])
        if runs_of(pool.cli, prompt) > attempts or charged[answer["id"]] > attempts:
            raise Doubled(f"{prompt}: {runs_of(pool.cli, prompt)} runs in {attempts} attempts")
    if over := pool.over_admitted(SLOTS):
        raise Doubled(f"more turns at a time than slots: {over}")
    assert len(told) > CALLERS
    spent = sum(nano_usd(record["usage"]["cost_usd"]) for record in records)
    assert spent <= COST_NANO_USD * len(records)
    return sum(each["status"] == "uncertain" for each in kept.values())
