"""A pool on hosts: where its subscriptions are, and what becomes of them and their callers where a
host is slow, cut off, frozen, killed or gone for good, and where the database or the head of the
cluster goes. Network namespaces with a disk each, real raylets, PostgreSQL, and a CLI that answers
at once or as it is told. ``make chaos`` has one host more.

All tests have one pool, and leave it so that any other one can follow.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from pool.nodes.inventory import note_activation
from tests.support.chaos.tally import injected
from tests.support.clis.stubcli import release, runs_of, transcript, turns_of
from tests.support.clusters.hosted_pool import HostedPool, eventually, hosted_pool
from tests.support.clusters.hosted_requests import SLOTS, add, answer_to, asking, charges, post
from tests.support.clusters.hosts import DISK, Host
from tests.support.services.actor_processes import frozen, has_ended
from tests.support.services.turns import starting_ray
from tests.support.suite.in_full import IS_FULL

pytestmark = pytest.mark.timeout(300)

HOSTS = ("one", "two") if IS_FULL else ("one",)
"""Beside the head."""
WITHOUT_NODE_SECONDS = 3
READ_SECONDS = 30.0
"""For what a subscription without a node has to be read, which waits while it lets go of something:
here it does again and again, since what runs on the node that is gone has not ended.
"""
LEAVES_SECONDS = 10.0
"""For a router to see that another one has taken over, and to end."""
NUMBERS = count(1)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedPool]:
    """``sub1`` is on the head."""
    folder, places = tmp_path_factory.mktemp("pool"), {"sub1": "head"}
    more = f"[routing]\nwithout_node_seconds = {WITHOUT_NODE_SECONDS}\n"
    how = {"subscriptions": 1, "slots": SLOTS, "names": HOSTS, "more": more}
    with hosted_pool(folder, places=places, **how) as pool:
        yield pool


@pytest.fixture
def http(pool: HostedPool) -> Iterator[httpx.Client]:
    with pool.service.client() as http:
        yield http


@pytest.fixture
def joined(pool: HostedPool) -> None:
    """Every host is there."""
    pool.rejoin()


@pytest.fixture
def movable(pool: HostedPool, http: httpx.Client, joined: None) -> Iterator[str]:
    """A new subscription, on the host ``one``, that can be on any other one."""
    id_ = f"movable{next(NUMBERS)}"
    note_activation(data_of(pool.hosts["one"], id_), 1)
    add(http, id_, credential={"oauth_token_env": "SUB2_TOKEN"})
    yield id_
    eventually(lambda: http.delete(f"/v1/subscriptions/{id_}").status_code == 204)


def data_of(host: Host, id_: str) -> Path:
    return host.disk / "data" / "subscriptions" / id_


def _is_back(shown: Any, epoch: int) -> bool:
    return bool(shown and shown["presence"] == "awake" and shown["epoch"] > epoch)


# -- where subscriptions are ---------------------------------------------------------------------


def sign_in(host: Host, name: str, account: str) -> None:
    """Have a directory of a host look as the CLI leaves it after ``/login``."""
    config_dir = host.disk / "homes" / name
    config_dir.mkdir(parents=True)
    (config_dir / ".credentials.json").write_text('{"claudeAiOauth": {"accessToken": "t"}}')
    (config_dir / ".claude.json").write_text(f'{{"oauthAccount": {{"accountUuid": "{account}"}}}}')


@pytest.mark.usefixtures("joined")
def test_everything_is_on_the_node_that_has_its_things(
    pool: HostedPool, http: httpx.Client
) -> None:
    """A directory is on one host alone, and the other one makes none of that name."""
    home = Path("homes", "homely")
    (pool.hosts["one"].disk / home).mkdir(parents=True)
    token = {"oauth_token_env": "SUB3_TOKEN"}
    add(http, "homely", config_dir=str(DISK / home), credential=token)

    nodes = pool.nodes(http)
    execution = post(http, "where?", subscription_id="homely").json()

    assert nodes["head"]["id"] != nodes["one"]["id"]
    assert nodes["head"]["subscriptions"] == ["sub1"]
    assert "homely" in nodes["one"]["subscriptions"]
    assert [each["node"] for each in execution["attempts"]] == [nodes["one"]["id"]]
    assert not (pool.hosts["head"].disk / home).exists()
    assert http.delete("/v1/subscriptions/homely").status_code == 204


@pytest.mark.usefixtures("joined")
def test_what_no_node_can_have_is_told_in_seconds(pool: HostedPool, http: httpx.Client) -> None:
    sign_in(pool.hosts["head"], "twice", "account-1")
    sign_in(pool.hosts["one"], "twice", "account-2")
    token = {"credential": {"oauth_token_env": "SUB3_TOKEN"}}
    wishes = {
        "several nodes with different logins": {"config_dir": str(DISK / "homes" / "twice")},
        "is no directory": {"config_dir": str(DISK / "homes" / "nowhere")},
        "no node is called 'zone=b'": {**token, "node": "zone=b"},
    }

    for reason, wish in wishes.items():
        began = time.monotonic()
        refused = http.post("/v1/subscriptions", json={"id": "new", **wish})

        assert (refused.status_code, reason in refused.json()["detail"]) == (422, True)
        assert time.monotonic() - began < 10


# -- what goes, and comes back -------------------------------------------------------------------


@injected()
def test_over_a_slow_link_all_goes_on(pool: HostedPool, http: httpx.Client, movable: str) -> None:
    """There and back it takes 200 ms."""
    asked = {"prompt": "q", "subscription_id": movable}
    post(http, **asked)  # by who has come up
    before = pool.shown(http)[movable]["epoch"]
    with pool.network.slowed(pool.hosts["one"], 0.1):
        waited = answer_to(http, **asked)
        begun = answer_to(http, **asked, background=True)
        events = http.get(f"/v1/executions/{begun['id']}/events").text
        turn = answer_to(http, prompt="and?", session_id=waited["session_id"])

    nodes = pool.nodes(http)
    assert [each["status"] for each in (waited, turn)] == ["succeeded"] * 2
    assert {each["attempts"][-1]["node"] for each in (waited, turn)} == {nodes["one"]["id"]}
    assert "event: result" in events
    assert pool.shown(http)[movable]["epoch"] == before


@injected()
def test_a_node_that_is_killed_is_passed_over_at_once_and_its_subscription_is_soon_elsewhere(
    pool: HostedPool, http: httpx.Client, movable: str
) -> None:
    """What runs there goes on and holds its slot, and is answered and charged once as the node is
    back; its session goes on where its subscription is then; all else is answered.
    """
    before = pool.nodes(http)["one"]
    with ThreadPoolExecutor(1) as threads, ExitStack() as at_the_end:
        at_the_end.callback(pool.rejoin)  # or its caller waits for the node
        at_the_end.callback(release, pool.cli, "back")
        waits = threads.submit(post, http, "[[until back]] slow.", subscription_id=movable)
        eventually(lambda: runs_of(pool.cli, "slow.") == 1)
        epoch = pool.shown(http)[movable]["epoch"]
        with asking(http, "meanwhile") as answers:
            pool.leave("one")
            eventually(lambda: _is_back(pool.shown(http).get(movable), epoch))
            held = pool.shown(http)[movable]["running"]
            pool.join("one")  # some of those that were asked for may have been run there
            release(pool.cli, "back")
        answer = waits.result()
    ended, back = answer.json(), eventually(lambda: pool.nodes(http).get("one"))
    elsewhere = pool.place_of(http, movable)
    turn = post(http, "and then?", session_id=ended["session_id"]).json()

    assert {answer.status_code for answer in answers} == {200}
    assert held >= 1
    assert (answer.status_code, ended["status"]) == (200, "succeeded")
    assert runs_of(pool.cli, "slow.") == 1
    assert charges(http, movable)[ended["id"]] == 1
    assert (back["ray_node_id"] != before["ray_node_id"], back["id"]) == (True, before["id"])
    assert [each["node"] for each in ended["attempts"]] == [before["id"]]
    assert elsewhere not in {"", "one"}
    assert [each["node"] for each in turn["attempts"]] == [pool.nodes(http)[elsewhere]["id"]]
    there = data_of(pool.hosts[elsewhere], movable) / "claude"
    told = transcript(there, ended["session_id"])
    assert [said in told for said in ("slow.", "and then?")] == [True, True]


@injected()
def test_a_database_that_goes_and_comes_fails_nobody_without_the_id_of_its_execution(
    pool: HostedPool, http: httpx.Client
) -> None:
    ids: list[str] = []
    with ThreadPoolExecutor(1) as threads, asking(http, "short") as answers:
        slow = threads.submit(post, http, "[[nap 7]] long.")
        for _ in range(3):
            time.sleep(1)
            pool.database.kill()
            time.sleep(1)
            pool.database.start()
        ended = slow.result()
    for answer in answers:
        body = answer.json()
        ids.append(body.get("id") or body["execution_id"])
    found = {id_: http.get(f"/v1/executions/{id_}", params={"wait_seconds": 30}) for id_ in ids}

    refused = [answer for answer in answers if answer.status_code != 200]
    assert ended.json()["status"] == "succeeded"
    assert {answer.status_code for answer in refused} <= {503}
    assert len(ids) == len(set(ids))
    assert {each.status_code for each in found.values()} <= {200, 404}
    assert all(runs_of(pool.cli, f"short {number}.") <= 1 for number in range(len(answers)))


@injected()
def test_a_node_that_is_cut_off_writes_nothing_stale_and_its_run_is_settled_once(
    pool: HostedPool, http: httpx.Client, movable: str
) -> None:
    """It still reaches the database, and its subscription ends there what it runs; meanwhile that
    is up elsewhere.
    """
    before = pool.shown(http)[movable]["epoch"]
    orphan = {"prompt": "[[until cut]] orphan.", "subscription_id": movable}
    with ThreadPoolExecutor(4) as threads, ExitStack() as at_the_end:
        at_the_end.callback(release, pool.cli, "cut")
        waits = threads.submit(post, http, **orphan)
        eventually(lambda: runs_of(pool.cli, "orphan.") == 1)
        with pool.cut_off("one"):
            passed = [post(http, prompt=f"passed {number}.") for number in range(3)]
            eventually(lambda: _is_back(pool.shown(http).get(movable), before))
            eventually(lambda: pool.shown(http)[movable]["running"] == 1)  # it is held
            nap = {"prompt": "[[nap 0.5]] beside.", "subscription_id": movable}
            beside = [threads.submit(post, http, **nap) for _ in range(3)]
            beside_it = [each.result() for each in beside]
            release(pool.cli, "cut")
            eventually(lambda: _has_ended_all(pool, "one"))
            time.sleep(1)  # in which the subscription there could write what it must not
            of_it = {"subscription_id": movable}
            unsettled = http.get("/v1/executions", params=of_it).json()["items"]
        answer = waits.result()

    body = answer.json()
    id_ = body.get("id") or body["execution_id"]
    ended = http.get(f"/v1/executions/{id_}", params={"wait_seconds": 30}).json()
    charged = charges(http, movable)
    assert [each.status_code for each in (*passed, *beside_it)] == [200] * 6
    assert pool.over_admitted(SLOTS) == {}
    assert [each["status"] for each in unsettled if each["id"] == id_] == ["running"]
    assert answer.status_code in {200, 503}
    assert ended["status"] == "succeeded"
    assert runs_of(pool.cli, "orphan.") == 1
    assert charged[id_] == 1
    assert set(charged.values()) == {1}


def _has_ended_all(pool: HostedPool, host: str) -> bool:
    there = Counter(is_begin for is_begin, _, at in turns_of(pool.cli) if at == host)
    return there[True] == there[False]


@injected()
def test_a_node_that_is_frozen_runs_nothing_twice_as_it_thaws(
    pool: HostedPool, http: httpx.Client, movable: str
) -> None:
    """Its raylet stands still, and so does the router that was there; another router takes its
    place, and then the first one goes on with what it was asked, until it sees that it is the
    router no more, and leaves; or until Ray has told it, which cannot end it before its raylet goes
    on.
    """
    eventually(lambda: _has_router_on(pool, "one"), 120)
    (router,), raylets = pool.pids("one", "RouterShell"), pool.pids("one", "raylet/raylet")
    with ThreadPoolExecutor(8) as threads, ExitStack() as until_thawed:
        keyed = [threads.submit(_keyed, http, number) for number in range(8)]
        time.sleep(0.02)
        until_thawed.enter_context(frozen(*raylets))
        with frozen(router):
            asked = post(http, "while it is frozen.")
        answers = [each.result() for each in keyed]
    eventually(lambda: has_ended(router), LEAVES_SECONDS)
    shown = pool.shown(http)
    pool.leave("one")

    assert asked.status_code == 200, asked.text
    assert [each.status_code for each in answers] == [200] * 8, [each.text for each in answers]
    assert [runs_of(pool.cli, f"keyed {number}.") for number in range(8)] == [1] * 8
    assert {shown[each]["presence"] for each in ("sub1", movable)} == {"awake"}


def _has_router_on(pool: HostedPool, host: str) -> bool:
    """Have Ray start the router anew, on a node by chance; whether it is on that one."""
    if (found := pool.routers()) and host not in found:
        (old,) = found.values()
        os.kill(old, signal.SIGKILL)
        eventually(lambda: pool.routers() and old not in pool.routers().values())
    return host in pool.routers()


def _keyed(http: httpx.Client, number: int) -> httpx.Response:
    body, headers = {"prompt": f"keyed {number}."}, {"idempotency-key": f"keyed-{number}"}
    return http.post("/v1/executions", json=body, headers=headers)


# -- what is gone for good -----------------------------------------------------------------------


@pytest.mark.usefixtures("joined")
@injected()
def test_what_waits_where_the_node_is_gone_for_good_goes_on_elsewhere_or_ends_with_the_reason(
    pool: HostedPool, http: httpx.Client
) -> None:
    add(
        http,
        "tied",
        credential={"oauth_token_env": "SUB3_TOKEN"},
        node="one",
        max_concurrent=1,
    )
    resumes = "/v1/subscriptions/sub1/resume"
    with ExitStack() as at_the_end:
        at_the_end.callback(release, pool.cli, "gone")
        post(http, "[[until gone]] tied.", subscription_id="tied", background=True)
        eventually(lambda: pool.shown(http)["tied"]["running"] == 1)
        bound = post(http, "bound.", subscription_id="tied", background=True).json()
        at_the_end.callback(http.post, resumes)
        http.post("/v1/subscriptions/sub1/pause")
        free = post(http, "free.", background=True).json()
        assert (bound["status"], free["subscription_id"]) == ("queued", "tied")

        pool.leave("one")
        eventually(lambda: http.post(resumes).is_success)
        went_on = http.get(f"/v1/executions/{free['id']}", params={"wait_seconds": 30})
        began = time.monotonic()
        ended = http.get(f"/v1/executions/{bound['id']}", params={"wait_seconds": 30}).json()
        listed = http.get("/v1/executions").json()
        took = time.monotonic() - began
        unplaced = http.get("/v1/nodes").json()["unplaced"]

    assert went_on.status_code == 200, went_on.text
    assert (went_on.json()["status"], went_on.json()["subscription_id"]) == ("succeeded", "sub1")
    assert ended["status"] == "interrupted", ended
    assert "its subscription 'tied'" in ended["error"]["message"]
    assert "no node is called 'one'" in ended["error"]["message"]
    assert {bound["id"], free["id"]} <= {each["id"] for each in listed["items"]}
    assert took < READ_SECONDS
    assert [each["subscription_id"] for each in unplaced] == ["tied"]
    assert [runs_of(pool.cli, each) for each in ("bound.", "free.")] == [0, 1]


@injected()
def test_after_the_loss_of_the_head_a_new_cluster_has_all_that_was_acknowledged(
    pool: HostedPool, http: httpx.Client
) -> None:
    """Without an external Redis the nodes end as well, a minute later; here at once. CLIs go on."""
    done = post(http, prompt="done.").json()
    once = {"idempotency-key": "once"}
    body = {"prompt": "[[until new]] under way.", "subscription_id": "sub1"}
    with ThreadPoolExecutor(1) as threads, ExitStack() as at_the_end:
        at_the_end.callback(release, pool.cli, "new")
        waits = threads.submit(http.post, "/v1/executions", json=body, headers=once)
        eventually(lambda: runs_of(pool.cli, "under way.") == 1)
        pool.leave("head")
        assert pool.service.process is not None
        ended = pool.service.process.wait(30)  # of itself Ray ends it after a minute
        told = waits.exception() or waits.result().status_code
        there = tuple(pool.raylets)
        for name in there:
            pool.leave(name)
    with starting_ray():
        pool.head()
        pool.join(*there)
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
