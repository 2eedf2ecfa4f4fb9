"""One execution after the other, end to end: HTTP, Ray, the real CLI, SQLite; nothing is a fake
but the API that the CLI talks to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from actors.runtime.ray_address import NOTE
from api.demo.standin.server import Server
from pool.money import nano_usd
from tests.support.services import shared_pool
from tests.support.services.service import Service, cost_of
from tests.support.services.shared_pool import TOKENS, SharedPool
from tests.support.suite.in_full import IS_FULL
from tests.support.suite.paths import ROOT

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def api(shared: SharedPool) -> Server:
    return shared.api


@pytest.fixture
def service(shared: SharedPool) -> Service:
    return shared.service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def execute(http: httpx.Client, prompt: str, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/executions", json={"prompt": prompt, **body})
    assert answer.status_code == 200, answer.text
    execution: dict[str, Any] = answer.json()
    return execution


def spent(http: httpx.Client) -> int:
    """What the pool's own ledgers say, asked of each owner."""
    total = 0
    for subscription in http.get("/v1/subscriptions").json()["items"]:
        cursor = None
        while True:
            page = http.get(
                f"/v1/subscriptions/{subscription['id']}/usage",
                params={"limit": 3} | ({"cursor": cursor} if cursor else {}),
            ).json()
            total += sum(nano_usd(each["usage"]["cost_usd"]) for each in page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
    return total


def eventually(condition: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return value


def test_the_pool_agrees_with_the_bill_to_the_nano_dollar(http: httpx.Client, api: Server) -> None:
    before = spent(http)

    executions = [
        execute(http, f"[[standin in={100 + n} out={20 + 7 * n}]] question {n}") for n in range(3)
    ]
    first = execute(http, "turn 1")
    turns = [first] + [execute(http, f"turn {n}", session_id=first["session_id"]) for n in (2, 3)]

    billed = api.standin.bill.total().cost_nano_usd
    assert {"succeeded"} == {each["status"] for each in (*executions, *turns)}
    assert billed == cost_of([*executions, *turns])
    assert billed == spent(http) - before
    assert {(first["subscription_id"], first["session_id"])} == {
        (each["subscription_id"], each["session_id"]) for each in turns
    }
    assert [nano_usd(each["usage"]["cost_usd"]) for each in turns] == [400_000] * 3


def test_a_resumed_session_remembers_what_was_said(http: httpx.Client) -> None:
    first = execute(http, "one")

    second = execute(http, "two", session_id=first["session_id"])

    assert "messages=2" in first["result"]  # the prompt, and what the CLI tells of its surroundings
    assert "messages=4" in second["result"]


AT_WORK = 3 if IS_FULL else 1
"""How many subscriptions, of two slots each, have requests that come at once."""


def test_more_requests_at_once_than_slots_never_run_more_clis_than_those(
    http: httpx.Client, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared_pool.POOL.ready(tmp_path_factory.mktemp, at_work=AT_WORK)
    slots, each_has = 2 * AT_WORK, 6 if IS_FULL else 4
    seen: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            seen.append(len(service.cli_processes()))
            time.sleep(0.1)

    counter = threading.Thread(target=count)
    counter.start()
    prompt = "[[standin slow seconds=0.5 chunks=2]] parallel"
    numbers = range(each_has * AT_WORK)
    with ThreadPoolExecutor(len(numbers)) as callers:
        executions = list(callers.map(lambda n: execute(http, f"{prompt} {n}"), numbers))
    done.set()
    counter.join()

    assert {"succeeded"} == {each["status"] for each in executions}
    assert slots / 2 <= max(seen) <= slots
    shares = Counter(each["subscription_id"] for each in executions)
    assert all(abs(shares[f"sub{n + 1}"] - each_has) <= 2 for n in range(AT_WORK)), shares


def test_the_windows_that_the_cli_reports_are_shown_with_their_age(http: httpx.Client) -> None:
    subscription = execute(http, "q")["subscription_id"]

    def windows() -> dict[str, Any]:
        return dict(http.get(f"/v1/subscriptions/{subscription}").json()["windows"])

    assert {"five_hour", "seven_day"} <= eventually(windows).keys()
    assert windows()["five_hour"]["fresh"]


RUNS = """
import json, os, sys
from actors import BlockingPoolClient, connect
for example in json.load(sys.stdin):
    if os.fork() == 0:
        exec(example, {})
        sys.exit()
    assert os.wait()[1] == 0, example
    print("--", flush=True)
"""
"""A program for each example: what they import, which takes a second, is imported once."""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The lines that two examples print beside the service: the README's, and one with an event
    loop.
    """
    service = shared_pool.POOL.ready(tmp_path_factory.mktemp).service
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "deploy" / "python.md").read_text(encoding="utf-8")
    (looped,) = (each for each in page.split("```python")[1:] if "asyncio.run" in each)
    examples = (readme.split("```python")[1], looped)
    ended = subprocess.run(
        [sys.executable, "-c", RUNS],
        input=json.dumps([each.split("```")[0] for each in examples]),
        env={**os.environ, "CLAUDE_POOL_CONFIG": str(service.config)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [each.splitlines() for each in ended.stdout.split("--\n")]


def test_the_example_in_the_readme_runs_beside_the_service(printed: list[list[str]]) -> None:
    (answer,) = printed[0]

    assert " 0.0004 " in answer
    assert answer.split()[-1] in {"sub1", "sub2", "sub3"}


def test_the_example_with_an_event_loop_runs_beside_the_service(printed: list[list[str]]) -> None:
    lines = printed[1]

    assert {"attempt", "text", "result"} <= set(lines)
    assert lines[-1].startswith("[")


def test_a_background_execution_is_fetched_by_its_id(http: httpx.Client) -> None:
    accepted = http.post("/v1/executions", json={"prompt": "later", "background": True})
    execution = accepted.json()

    ended = http.get(f"/v1/executions/{execution['id']}", params={"wait_seconds": 30}).json()

    assert accepted.status_code == 202
    assert ("succeeded", execution["id"]) == (ended["status"], ended["id"])


def until_it_speaks(http: httpx.Client, execution: dict[str, Any]) -> None:
    """Wait for the first word of its answer: from then on it is known what it costs."""
    with http.stream("GET", f"/v1/executions/{execution['id']}/events") as events:
        assert "event: text" in events.iter_lines()


def test_a_running_execution_is_cancelled_and_its_cost_is_kept(http: httpx.Client) -> None:
    prompt = "[[standin slow seconds=60 chunks=60]] a long story"
    started = http.post("/v1/executions", json={"prompt": prompt, "background": True}).json()
    until_it_speaks(http, started)

    cancelled = http.post(f"/v1/executions/{started['id']}/cancel").json()

    assert cancelled["status"] == "cancelled"
    assert nano_usd(cancelled["usage"]["cost_usd"]) > 0


def test_no_process_and_no_directory_is_left_of_what_has_ended(
    http: httpx.Client, service: Service
) -> None:
    execute(http, "leave nothing")
    for id_ in (*TOKENS, "key1"):
        http.post(f"/v1/subscriptions/{id_}/drain")  # which keeps no process

    eventually(lambda: not service.cli_processes() or None)
    eventually(lambda: not service.run_directories() or None)


def test_a_stop_interrupts_what_does_not_end_and_settles_it_and_leaves_nothing_of_ray(
    shared: SharedPool, service: Service
) -> None:
    """Nor another service that had joined that Ray."""
    note, second = service.data_dir / NOTE, shared.second()
    assert note.exists()
    assert second.process is not None
    with service.client() as http:
        slow = {"prompt": "[[standin slow seconds=60 chunks=600]] go on", "background": True}
        started = http.post("/v1/executions", json=slow).json()
        until_it_speaks(http, started)

        service.stop()
        left = (service.cli_processes(), note.exists(), [*shared.temporary.glob("cpool-*")])
        code = second.process.wait(60)
        service.start()

        ended = http.get(f"/v1/executions/{started['id']}").json()

    assert left == (set(), False, [])
    assert code == 1
    assert "the service has ended whose Ray this one had joined" in second.events()[-1]["problem"]
    assert ended["status"] == "interrupted"
    assert nano_usd(ended["usage"]["cost_usd"]) > 0
