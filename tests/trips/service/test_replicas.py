"""Several API processes of one pool, and the router that they share: whatever was begun at one goes
on at any other, and neither the death of an API process nor that of the router is felt.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.demo.standin.behaviour import Behaviour, Call
from api.demo.standin.server import Server
from pool.claude.process.identity import start_time
from tests.support.services.actor_processes import actor_pid, frozen, spare_pids
from tests.support.services.service import Service, cost_of
from tests.support.services.shared_pool import SharedPool

pytestmark = pytest.mark.timeout(240)

WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": {"type": "object"}}
TWO_CENTS = "[[standin in=0 out=1334]] a dear answer"
ASKED = {"prompt": "q"}


@pytest.fixture
def api(shared: SharedPool) -> Server:
    return shared.api


@pytest.fixture
def services(shared: SharedPool) -> tuple[Service, Service]:
    return shared.service, shared.second()


@pytest.fixture
def clients(services: tuple[Service, Service]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with services[0].client() as one, services[1].client() as other:
        yield one, other


def post(http: httpx.Client, prompt: str, **of: Any) -> Any:
    answer = http.post("/v1/executions", json={"prompt": prompt, **of})
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()


def test_what_was_begun_at_one_is_streamed_cancelled_and_given_results_at_another(
    clients: tuple[httpx.Client, httpx.Client], api: Server
) -> None:
    one, other = clients
    read = post(one, "[[standin slow seconds=2 chunks=8]] read", background=True)
    stopped = post(one, "[[standin slow seconds=60 chunks=90]] stop", background=True)

    with other.stream("GET", f"/v1/executions/{read['id']}/events") as events:
        lines = [line for line in events.iter_lines() if line.startswith("event:")]
    cancelled = other.post(f"/v1/executions/{stopped['id']}/cancel").json()
    call = Call(name="get_weather", input={}, id="toolu_1")
    api.standin.next(Behaviour(kind="tool", calls=(call,)))
    asks = post(one, "weather?", client_tools=[WEATHER])
    results = {"results": [{"tool_use_id": "toolu_1", "content": "21"}]}
    given = other.post(f"/v1/executions/{asks['id']}/tool_results", json=results).json()
    ended = one.get(f"/v1/executions/{asks['id']}", params={"wait_seconds": 30}).json()

    assert (len(lines) > 3, lines[-1]) == (True, "event: result")
    assert cancelled["status"] == "cancelled"
    assert (asks["status"], given["id"]) == ("waiting_for_caller", asks["id"])
    assert (ended["status"], ended["continued_by"]) == ("succeeded", "process")


def said(http: httpx.Client, *turns: str) -> Any:
    """A conversation, as an SDK sends it; the answer, and how its execution ran."""
    sides = ("user", "assistant")
    messages = [{"role": sides[at % 2], "content": text} for at, text in enumerate(turns)]
    body = {"model": "sonnet", "max_tokens": 100, "messages": messages}
    answer = http.post("/v1/messages", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    ran = http.get(f"/v1/executions/{answer.json()['pool']['execution_id']}").json()
    return answer.json()["content"][0]["text"], ran


def test_what_an_api_process_was_asked_as_it_was_killed_goes_on_at_another(
    services: tuple[Service, Service], clients: tuple[httpx.Client, httpx.Client], api: Server
) -> None:
    """What it ran is had by its key, and a conversation goes on in its process, whichever of them
    is asked; of two who go on at once, one does so there.
    """
    one, other = clients
    begins = "one, at a replica"  # nobody else begins so: sessions of one history are as one
    yes, first = said(one, begins)
    and_so, turn = said(other, begins, yes, "two")
    billed = api.standin.bill.total().cost_nano_usd
    body = {"prompt": "[[standin slow seconds=3 chunks=8]] kept"}
    once = {"idempotency-key": "kept"}
    with ThreadPoolExecutor(2) as threads:
        lost = threads.submit(other.post, "/v1/executions", json=body, headers=once)
        time.sleep(1)
        services[1].kill()
        again = one.post("/v1/executions", json=body, headers=once).json()
        error = lost.exception()
        cost = api.standin.bill.total().cost_nano_usd - billed
        services[1].start()
        found = other.get(f"/v1/executions/{again['id']}").json()
        both = list(
            threads.map(lambda http: said(http, begins, yes, "two", and_so, "three"), clients)
        )
    here = [ran["session_id"] == first["session_id"] for _, ran in both]
    ways = [ran["attempts"][-1]["process"] for _, ran in both]

    assert isinstance(error, httpx.HTTPError)
    assert again["status"] == "succeeded"
    assert found == again
    assert cost == cost_of([again])
    assert turn["session_id"] == first["session_id"]
    assert turn["attempts"][-1]["process"] == "kept"
    assert sorted(here) == [False, True]
    assert [way == "kept" for way in ways] == here


def test_the_budget_of_a_key_holds_over_both(clients: tuple[httpx.Client, httpx.Client]) -> None:
    """A budget of five cents, and a dozen requests of two cents at once, half of them at each."""
    scopes = ["execute", "read", "admin"]
    limits = {"name": "dear", "daily_budget_usd": 0.05, "scopes": scopes}
    made = clients[0].post("/v1/keys", json=limits).json()
    shows = {"x-api-key": made["secret"]}
    body = {"prompt": TWO_CENTS, "max_budget_usd": 0.02}

    with ThreadPoolExecutor(12) as threads:
        asking = [
            threads.submit(
                clients[number % 2].post, "/v1/executions", json=body, headers=shows, timeout=60
            )
            for number in range(12)
        ]
        answers = [each.result() for each in asking]
    ran = [each.json() for each in answers if each.status_code == 200]
    deadline = time.monotonic() + 30
    used: list[Any] = []
    while not used or any(each["running"] for each in used):
        assert time.monotonic() < deadline
        found = [http.get("/v1/keys").json()["items"] for http in clients]
        used = [next(each["used"] for each in keys if each["name"] == "dear") for keys in found]

    assert {each.status_code for each in answers} == {200, 429}
    assert 1 <= len(ran) <= 3
    assert used[0] == used[1]
    assert float(used[0]["today_usd"]) == pytest.approx(cost_of(ran) / 1e9)


def test_the_death_of_the_router_is_felt_by_nobody(
    services: tuple[Service, Service], clients: tuple[httpx.Client, httpx.Client]
) -> None:
    """One that is on its way, one that is read along, a list and a new request."""
    one, other = clients
    router = actor_pid(services[0], "RouterShell", "directory.sqlite")
    assert router is not None
    reads = post(one, "[[standin slow seconds=4 chunks=8]] read", background=True)
    with ThreadPoolExecutor(4) as threads:
        waits = threads.submit(post, one, "[[standin slow seconds=3 chunks=8]] wait")
        streams = threads.submit(lambda: other.get(f"/v1/executions/{reads['id']}/events").text)
        time.sleep(1)
        os.kill(router, signal.SIGKILL)
        ranked = threads.submit(one.post, "/v1/route", json=ASKED)
        listed = threads.submit(other.get, "/v1/subscriptions")
        asked = post(other, "at once")
    waited = waits.result()

    assert asked["status"] == waited["status"] == "succeeded"
    assert waited == other.get(f"/v1/executions/{waited['id']}").json()
    assert "event: result" in streams.result()
    assert ranked.result().status_code == 200
    found = {each["id"]: each["state"] for each in listed.result().json()["items"]}
    assert (found["sub1"], found["sub2"]) == ("available", "available")


def test_a_router_that_dies_comes_up_in_the_process_that_is_kept_for_it(
    services: tuple[Service, Service], clients: tuple[httpx.Client, httpx.Client]
) -> None:
    def killed() -> int:
        """The router's next process."""
        before = actor_pid(services[0], "RouterShell", "directory.sqlite")
        assert before is not None
        os.kill(before, signal.SIGKILL)
        assert clients[1].post("/v1/route", json=ASKED).status_code == 200
        after = actor_pid(services[0], "RouterShell", "directory.sqlite")
        assert after is not None
        return after

    router, deadline = killed(), time.monotonic() + 60  # now none is left of the start of the pool
    while not spare_pids(router):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed_at = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    began_at = start_time(killed())

    assert began_at is not None
    assert began_at < killed_at


def test_a_router_that_is_frozen_is_replaced(
    services: tuple[Service, Service], clients: tuple[httpx.Client, httpx.Client]
) -> None:
    router = actor_pid(services[0], "RouterShell", "directory.sqlite")
    assert router is not None

    with frozen(router):
        answer = post(clients[0], "while it is frozen")

    assert answer["status"] == "succeeded"
