"""A pool of three hosts with links between them that are slow, or cut: network namespaces with a
disk each, real raylets, PostgreSQL, and a CLI that answers at once or after a nap.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hosted_pool import HostedPool, eventually, hosted_pool
from stubcli import release, runs_of, turns_of
from turns import starting_ray

pytestmark = pytest.mark.timeout(240)

SLOTS = 2
ORPHAN = {"prompt": "[[until cut]] orphan.", "subscription_id": "sub1"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedPool]:
    """``sub1`` is on the host ``one``, ``sub2`` on ``two``."""
    places = {"sub1": "one", "sub2": "two"}
    with hosted_pool(tmp_path_factory.mktemp("pool"), slots=SLOTS, places=places) as pool:
        yield pool


@pytest.fixture
def http(pool: HostedPool) -> Iterator[httpx.Client]:
    with pool.service.client() as http:
        yield http


def post(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/v1/executions", json=body)


def test_over_a_slow_link_all_goes_on(pool: HostedPool, http: httpx.Client) -> None:
    """There and back it takes 200 ms."""
    asked = {"prompt": "q", "subscription_id": "sub1"}
    post(http, **asked)  # by who has come up
    with pool.network.slowed(pool.hosts["one"], 0.1):
        waited = post(http, **asked).json()
        begun = post(http, **asked, background=True).json()
        events = http.get(f"/v1/executions/{begun['id']}/events").text
        turn = post(http, prompt="and?", session_id=waited["session_id"]).json()

    nodes = pool.nodes(http)
    assert [each["status"] for each in (waited, turn)] == ["succeeded"] * 2
    assert {each["attempts"][-1]["node"] for each in (waited, turn)} == {nodes["one"]["id"]}
    assert "event: result" in events
    assert pool.shown(http)["sub1"]["epoch"] == 1


def test_a_node_that_is_cut_off_writes_nothing_stale_and_its_run_is_settled_once(
    pool: HostedPool, http: httpx.Client
) -> None:
    """It still reaches the database, and its subscription ends there what it runs; meanwhile that
    is up elsewhere.
    """
    one = pool.hosts["one"]
    others = [pool.hosts[name].address for name in ("head", "two")]
    before = pool.shown(http)["sub1"]["epoch"]
    with ThreadPoolExecutor(4) as threads:
        waits = threads.submit(post, http, **ORPHAN)
        eventually(lambda: runs_of(pool.cli, "orphan.") == 1)
        pool.network.cut(one, *others)
        passed = [post(http, prompt=f"passed {number}.") for number in range(3)]
        eventually(lambda: _is_back(pool.shown(http).get("sub1"), before))
        held = pool.shown(http)["sub1"]["running"]
        beside = [
            threads.submit(post, http, prompt=f"[[nap 0.5]] beside {n}.", subscription_id="sub1")
            for n in range(3)
        ]
        beside_it = [each.result() for each in beside]
        release(pool.cli, "cut")
        eventually(lambda: _has_ended(pool, "one"))
        time.sleep(1)  # in which the subscription there is fast enough to write what it must not
        unsettled = http.get("/v1/executions", params={"subscription_id": "sub1"}).json()["items"]
        pool.network.heal(one, *others)
        eventually(lambda: pool.raylets["one"].poll() is not None)
        pool.join("one")
        answer = waits.result()

    body = answer.json()
    id_ = body.get("id") or body["execution_id"]
    ended = http.get(f"/v1/executions/{id_}", params={"wait_seconds": 30}).json()
    records = http.get("/v1/subscriptions/sub1/usage", params={"limit": 100}).json()["items"]
    charged = Counter(each["execution_id"] for each in records)
    assert [each.status_code for each in (*passed, *beside_it)] == [200] * 6
    assert held == 1
    assert pool.over_admitted(SLOTS) == {}
    assert [each["status"] for each in unsettled if each["id"] == id_] == ["running"]
    assert answer.status_code in {200, 503}
    assert ended["status"] == "succeeded"
    assert runs_of(pool.cli, "orphan.") == 1
    assert charged[id_] == 1
    assert set(charged.values()) == {1}


def test_after_the_loss_of_the_head_a_new_cluster_has_all_that_was_acknowledged(
    pool: HostedPool, http: httpx.Client
) -> None:
    """Without an external Redis the nodes end as well, a minute later; here at once. CLIs go on."""
    done = post(http, prompt="done.").json()
    once = {"idempotency-key": "once"}
    body = {"prompt": "[[until new]] under way.", "subscription_id": "sub2"}
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(http.post, "/v1/executions", json=body, headers=once)
        eventually(lambda: runs_of(pool.cli, "under way.") == 1)
        pool.leave("head")
        assert pool.service.process is not None
        ended = pool.service.process.wait(30)  # of itself Ray ends it after a minute
        told = waits.exception() or waits.result().status_code
    for name in ("one", "two"):
        pool.leave(name)
    release(pool.cli, "new")
    with starting_ray():
        pool.head()
        pool.join("one", "two")
    pool.service.start()
    with pool.service.client() as again:
        answer = again.post("/v1/executions", json=body, headers=once).json()
        found = again.get(f"/v1/executions/{done['id']}").json()

    assert told == 503 or isinstance(told, httpx.HTTPError), waits.result().text
    assert ended == 1
    assert "Ray has ended on this node" in pool.service.log.read_text(encoding="utf-8")
    assert answer["status"] == "succeeded"
    assert runs_of(pool.cli, "under way.") == 1
    assert found == done


def _is_back(shown: Any, epoch: int) -> bool:
    return bool(shown and shown["presence"] == "awake" and shown["epoch"] > epoch)


def _has_ended(pool: HostedPool, host: str) -> bool:
    there = Counter(is_begin for is_begin, _, at in turns_of(pool.cli) if at == host)
    return there[True] == there[False]
