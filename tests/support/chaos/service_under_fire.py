"""The real service under fire: which process is which, and what its books say over HTTP."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from pool.money import nano_usd
from tests.support.chaos.tally import Doubled, Lost
from tests.support.services.service import Service


def actor_pid(service: Service, shell: str, holds: str) -> int | None:
    """The process of an actor: the one that has its store open."""
    for pid in processes(service):
        try:
            if shell.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            files = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        if any(file.startswith(str(service.data_dir)) and holds in file for file in files):
            return pid
    return None


def processes(service: Service) -> set[int]:
    """All that was started for a service and still runs: they have its log open, its data
    directory in their command line, or work in there.
    """
    folder = os.fsencode(service.config.parent)
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            environment = (entry / "environ").read_bytes()
            if folder in (entry / "cmdline").read_bytes() or MARK + folder in environment:
                found.add(int(entry.name))
    return found


SUBSCRIPTIONS = 2
"""In the service of these tests."""

MARK = b"PYTHON_CHAOS_SERVICE="
"""Of the variables that processes of Ray inherit from who starts it."""


def marked(service: Service) -> Service:
    """Mark everything that the service starts, Ray's own processes included, as its own."""
    service.environment["PYTHON_CHAOS_SERVICE"] = str(service.config.parent)
    return service


def argv(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    except OSError:
        return "(gone)"


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "what was awaited did not come"
        time.sleep(0.05)
    return found


class Callers:
    """Callers that wait over HTTP for as long as it takes, each in a thread of its own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.answers: dict[str, httpx.Response | Exception] = {}
        self._threads: list[threading.Thread] = []

    def ask(self, key: str, prompt: str, **body: object) -> None:
        thread = threading.Thread(target=self._ask, args=(key, {"prompt": prompt, **body}))
        self._threads.append(thread)
        thread.start()

    def _ask(self, key: str, body: dict[str, object]) -> None:
        try:
            with self._service.client() as http:
                self.answers[key] = http.post(
                    "/v1/executions", json=body, headers={"Idempotency-Key": key}
                )
        except Exception as error:  # noqa: BLE001 - told to whoever gathers
            self.answers[key] = error

    def gathered(self, seconds: float = 120) -> dict[str, httpx.Response | Exception]:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            assert not thread.is_alive(), "a caller still waits"
        self._threads.clear()
        return self.answers


def every_item(http: httpx.Client, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        wanted: dict[str, str | int] = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        answer = http.get(path, params=wanted)
        answer.raise_for_status()
        page = answer.json()
        items.extend(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def _subscriptions(http: httpx.Client) -> list[dict[str, Any]]:
    """All subscriptions. Right after its start a router may not have heard of each of them."""
    return until(lambda: s if len(s := every_subscription(http)) >= SUBSCRIPTIONS else None)


def every_subscription(http: httpx.Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = http.get("/v1/subscriptions").json()["items"]
    return items


def check_service(http: httpx.Client, billed: int, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Each id once and ended, each charged once, and the ledgers equal to the bill where every
    run has its evidence; the executions.
    """
    subscriptions = [each["id"] for each in _subscriptions(http)]
    executions = every_item(http, "/v1/executions")
    listed = [each["id"] for each in executions]
    if missing := set(ids) - set(listed):
        raise Lost(f"nobody knows {missing}")
    assert sorted(listed) == sorted(ids), "there are some that nobody asked for"
    records = [
        r
        for subscription in subscriptions
        for r in every_item(http, f"/v1/subscriptions/{subscription}/usage")
    ]
    by_execution = [record["execution_id"] for record in records]
    if len(by_execution) != len(set(by_execution)):
        raise Doubled("an execution was charged twice")
    spent = sum(nano_usd(record["usage"]["cost_usd"]) for record in records)
    if spent != billed:
        wrong = Lost if spent < billed else Doubled
        raise wrong(f"the ledgers say {spent}, the bill {billed}")
    said = sum(nano_usd(each["usage"]["cost_usd"]) for each in executions)
    assert said == spent, f"the executions cost {said}, the records {spent}"
    return executions
