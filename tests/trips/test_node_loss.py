"""A pool of two nodes that loses one: killed, frozen, and with a database that goes and comes. Real
raylets on one machine, the second one with a disk of its own, PostgreSQL, and a CLI that answers at
once or after a nap.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import cluster, further_node
from postgres import Server as Database
from service import Service, write_config
from stubcli import runs_of, stub_cli

from pool.nodes.inventory import note_activation

pytestmark = pytest.mark.timeout(300)

SECOND = "127.0.0.2"
POOL = "[pool]\n"
WAIT_SECONDS = 60.0
WITHOUT_NODE_SECONDS = 3
READ_SECONDS = 30.0
"""For what a subscription without a node has to be read, which waits while it lets go of something:
here it does again and again, since what runs on the node that is gone has not ended.
"""
LEAVES_SECONDS = 10.0
"""For a router to see that another one has taken over, and to end."""


def eventually(what: Callable[[], Any], seconds: float = WAIT_SECONDS) -> None:
    """Wait until something holds."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, "it does not come to pass"
        time.sleep(0.05)


@dataclass
class TwoNodes:
    """``sub1`` was on the second node last, ``sub2`` on the first; both have tokens."""

    folder: Path
    address: str
    service: Service
    database: Database
    raylet: ExitStack = field(default_factory=ExitStack)
    node: subprocess.Popen[bytes] | None = None

    @property
    def cli(self) -> Path:
        return self.folder / "claude"

    def join(self) -> None:
        """Have the second node join, or join again."""
        disks = {self.service.data_dir: self.folder / "other-data"}
        node = further_node(self.address, self.folder, host=SECOND, disks=disks)
        self.node = self.raylet.enter_context(node)

    def leave(self) -> None:
        """kill -9 of the second node."""
        self.raylet.close()

    def raylets(self, host: str = "") -> list[int]:
        """Those of this cluster, or of one node: this process has started them."""
        here = ("raylet/raylet", f"node_ip_address={host}")
        found = (pid for pid, title in _processes() if all(each in title for each in here))
        return [pid for pid in found if os.getpid() in _ancestors(pid)]

    def router(self, host: str = "") -> int | None:
        """The process of the router, where it is on a node."""
        raylets = self.raylets(host)
        found = (pid for pid, title in _processes() if "RouterShell" in title)
        return next((pid for pid in found if _parent(pid) in raylets), None)

    def has_router_on(self, host: str) -> bool:
        """Have Ray start the router anew, on a node by chance; whether it is on that one."""
        if self.router(host) is None and (router := self.router()) is not None:
            os.kill(router, signal.SIGKILL)
            eventually(lambda: self.router() not in {None, router})
        return self.router(host) is not None

    def shown(self, http: httpx.Client) -> dict[str, Any]:
        return {each["id"]: each for each in http.get("/v1/subscriptions").json()["items"]}


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace")


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def _ancestors(pid: int) -> Iterator[int]:
    while (pid := _parent(pid)) > 1:
        yield pid


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    folder = tmp_path_factory.mktemp("pool")
    (folder / "data").mkdir()
    note_activation(folder / "other-data" / "subscriptions" / "sub1", 1)
    note_activation(folder / "data" / "subscriptions" / "sub2", 1)
    database = Database()
    try:
        database.start()
        with cluster(folder) as address:
            more = f'path = "{stub_cli(folder)}"\n[ray]\naddress = "{address}"\n'
            more += f"[routing]\nwithout_node_seconds = {WITHOUT_NODE_SECONDS}\n"
            config = write_config(folder, "http://127.0.0.1:9", subscriptions=2, slots=4, more=more)
            store = f'{POOL}store = "{database.fresh_schema()}"\n'
            config.write_text(config.read_text(encoding="utf-8").replace(POOL, store))
            pool = TwoNodes(folder, address, Service(config), database)
            pool.join()
            pool.service.start()
            yield pool
            pool.service.stop()
            pool.raylet.close()
    finally:
        for pid, title in _processes():  # a run goes on that was on a node that is gone for good
            if str(folder / "claude") in title:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        database.close()


@pytest.fixture
def http(pool: TwoNodes) -> Iterator[httpx.Client]:
    with pool.service.client() as http:
        yield http


def post(http: httpx.Client, prompt: str, **of: Any) -> httpx.Response:
    return http.post("/v1/executions", json={"prompt": prompt, **of})


@contextmanager
def asking(http: httpx.Client, what: str) -> Iterator[list[httpx.Response]]:
    """Ask for short runs, one after the other, and gather the answers."""
    answers: list[httpx.Response] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            answers.append(post(http, f"{what} {len(answers)}."))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()


def test_a_node_that_is_killed_is_passed_over_at_once_and_its_subscription_is_soon_elsewhere(
    pool: TwoNodes, http: httpx.Client
) -> None:
    """What runs there goes on, and is answered once the node is back; all else is answered."""
    with ThreadPoolExecutor(2) as threads:
        slow: Future[httpx.Response] = threads.submit(
            post, http, "[[nap 8]] slow.", subscription_id="sub1"
        )
        eventually(lambda: pool.shown(http)["sub1"]["running"] == 1)
        epoch = pool.shown(http)["sub1"]["epoch"]
        with asking(http, "meanwhile") as answers:
            pool.leave()
            eventually(lambda: _is_back(pool.shown(http).get("sub1"), epoch))
            held = pool.shown(http)["sub1"]["running"]
            pool.join()  # some of those that were asked for may have been run there
        ended = slow.result()

    assert {answer.status_code for answer in answers} == {200}
    assert held >= 1
    assert (ended.status_code, ended.json()["status"]) == (200, "succeeded")
    assert runs_of(pool.cli, "slow.") == 1


def _is_back(shown: Any, epoch: int) -> bool:
    return bool(shown and shown["presence"] == "awake" and shown["epoch"] > epoch)


def test_a_database_that_goes_and_comes_fails_nobody_without_the_id_of_its_execution(
    pool: TwoNodes, http: httpx.Client
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


def test_a_node_that_is_frozen_runs_nothing_twice_as_it_thaws(
    pool: TwoNodes, http: httpx.Client
) -> None:
    """Its raylet stands still, and so does the router that was there; another router takes its
    place, and then the first one goes on with what it was asked, until it sees that it is the
    router no more, and leaves; or until Ray has told it, which cannot end it before its raylet goes
    on.
    """
    eventually(lambda: pool.has_router_on(SECOND), 120)
    router = pool.router(SECOND)
    assert router is not None
    with ThreadPoolExecutor(9) as threads:
        keyed = [threads.submit(_keyed, http, number) for number in range(8)]
        time.sleep(0.02)
        for pid in (router, *pool.raylets(SECOND)):
            os.kill(pid, signal.SIGSTOP)
        asked = post(http, "while it is frozen.")
        os.kill(router, signal.SIGCONT)
        answers = [each.result() for each in keyed]
    for pid in pool.raylets(SECOND):
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: _has_ended(router), LEAVES_SECONDS)
    shown = pool.shown(http)
    pool.leave()

    assert asked.status_code == 200, asked.text
    assert [each.status_code for each in answers] == [200] * 8, [each.text for each in answers]
    assert [runs_of(pool.cli, f"keyed {number}.") for number in range(8)] == [1] * 8
    assert {each["presence"] for each in shown.values()} == {"awake"}


def _has_ended(pid: int) -> bool:
    """Whether a process is over, whoever is to take note of that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _keyed(http: httpx.Client, number: int) -> httpx.Response:
    body, headers = {"prompt": f"keyed {number}."}, {"idempotency-key": f"keyed-{number}"}
    return http.post("/v1/executions", json=body, headers=headers)


def test_what_waits_where_the_node_is_gone_for_good_goes_on_elsewhere_or_ends_with_the_reason(
    pool: TwoNodes, http: httpx.Client
) -> None:
    if not pool.raylets(SECOND):
        pool.join()
    tied = {
        "id": "tied",
        "credential": {"oauth_token_env": "SUB3_TOKEN"},
        "node": SECOND,
        "max_concurrent": 1,
    }
    eventually(lambda: http.post("/v1/subscriptions", json=tied).status_code == 201)
    others = ("sub1", "sub2")
    post(http, "[[nap 300]] tied.", subscription_id="tied", background=True)
    eventually(lambda: pool.shown(http)["tied"]["running"] == 1)
    bound = post(http, "bound.", subscription_id="tied", background=True).json()
    for each in others:
        http.post(f"/v1/subscriptions/{each}/pause")
    free = post(http, "free.", background=True).json()
    assert (bound["status"], free["subscription_id"]) == ("queued", "tied")

    pool.leave()
    for each in others:
        eventually(lambda each=each: http.post(f"/v1/subscriptions/{each}/resume").is_success)
    went_on = http.get(f"/v1/executions/{free['id']}", params={"wait_seconds": 30})
    began = time.monotonic()
    ended = http.get(f"/v1/executions/{bound['id']}", params={"wait_seconds": 30}).json()
    listed = http.get("/v1/executions").json()
    took = time.monotonic() - began
    unplaced = http.get("/v1/nodes").json()["unplaced"]

    assert went_on.status_code == 200, went_on.text
    assert (went_on.json()["status"], went_on.json()["subscription_id"] in others) == (
        "succeeded",
        True,
    )
    assert ended["status"] == "interrupted", ended
    assert "its subscription 'tied'" in ended["error"]["message"]
    assert "no node is called '127.0.0.2'" in ended["error"]["message"]
    assert {bound["id"], free["id"]} <= {each["id"] for each in listed["items"]}
    assert took < READ_SECONDS
    assert [each["subscription_id"] for each in unplaced] == ["tied"]
    assert [runs_of(pool.cli, each) for each in ("bound.", "free.")] == [0, 1]
