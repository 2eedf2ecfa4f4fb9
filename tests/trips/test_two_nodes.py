"""A pool of two nodes with a disk each: real raylets of one machine, the second in a mount
namespace where some directories are others; PostgreSQL, and the real CLI.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import cluster, further_node
from postgres import Server as Database
from service import Service, cost_of, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from pool.claude.process.files.run_directory import RunDirectory
from pool.nodes.inventory import note_activation

pytestmark = pytest.mark.timeout(240)

WAIT_SECONDS = 60.0
SECOND = "127.0.0.2"
POOL = "[pool]\n"


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.1)


def sign_in(config_dir: Path, account: str) -> None:
    """Have a directory look as the CLI leaves it after ``/login``."""
    config_dir.mkdir(parents=True)
    (config_dir / ".credentials.json").write_text('{"claudeAiOauth": {"accessToken": "t"}}')
    (config_dir / ".claude.json").write_text(f'{{"oauthAccount": {{"accountUuid": "{account}"}}}}')


@dataclass
class TwoNodes:
    """Below one path each node has directories of its own: ``homes`` on the first is another one
    than on the second, and so is ``data``.
    """

    folder: Path
    address: str
    service: Service
    api: Server
    raylet: ExitStack

    @property
    def homes(self) -> Path:
        return self.folder / "homes"

    @property
    def other_data(self) -> Path:
        return self.folder / "other-data"

    def join(self) -> None:
        """Have the second node join, or join again."""
        disks = {
            self.homes: self.folder / "other-homes",
            self.service.data_dir: self.other_data,
        }
        node = further_node(self.address, self.folder, host=SECOND, disks=disks)
        self.raylet.enter_context(node)

    def nodes(self, http: httpx.Client) -> tuple[Any, Any]:
        """The first and the second node, as far as they live."""
        found = [each for each in http.get("/v1/nodes").json()["items"] if each["alive"]]
        first = [each for each in found if each["address"] != SECOND]
        second = [each for each in found if each["address"] == SECOND]
        return first[0], second[0] if second else None

    def has_started(self, execution_id: str) -> bool:
        """Whether the second node has the CLI of an execution of ``sub1``."""
        runs = self.other_data / "subscriptions" / "sub1" / "runs"
        return RunDirectory(runs, execution_id).process.started() is not None


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[TwoNodes]:
    """``sub1`` has a token, and was on the second node before; ``tied`` has a directory there."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "data").mkdir()
    sign_in(folder / "homes" / "twice", "account-1")
    sign_in(folder / "other-homes" / "twice", "account-2")
    (folder / "other-homes" / "tied").mkdir()
    note_activation(folder / "other-data" / "subscriptions" / "sub1", 1)
    tied = (
        f'[[subscriptions]]\nid = "tied"\nconfig_dir = "{folder / "homes" / "tied"}"\n'
        'credential = { oauth_token_env = "SUB2_TOKEN" }\n'
    )
    with (
        cluster(folder) as address,
        serving(create_app(Standin()), port=0) as api,
        ExitStack() as raylet,
    ):
        joins = f'[ray]\naddress = "{address}"\n'
        config = write_config(folder, api.url, subscriptions=1, slots=1, more=joins)
        store = f'{POOL}store = "{database.fresh_schema()}"\n'
        text = config.read_text(encoding="utf-8").replace(POOL, store)
        config.write_text(f"{text}{tied}", encoding="utf-8")
        pool = TwoNodes(folder, address, Service(config), api, raylet)
        pool.join()
        pool.service.start()
        yield pool
        pool.service.stop()


@pytest.fixture
def http(pool: TwoNodes) -> Iterator[httpx.Client]:
    with pool.service.client() as http:
        yield http


def test_everything_is_on_the_node_that_has_its_things(pool: TwoNodes, http: httpx.Client) -> None:
    wanted = {"prompt": "where?", "subscription_id": "tied"}

    first, second = pool.nodes(http)
    execution = http.post("/v1/executions", json=wanted).json()

    assert first["id"] != second["id"]
    assert (first["subscriptions"], second["subscriptions"]) == ([], ["sub1", "tied"])
    assert [each["node"] for each in execution["attempts"]] == [second["id"]]
    assert not (pool.homes / "tied").exists()


def test_what_no_node_can_have_is_told_in_seconds(pool: TwoNodes, http: httpx.Client) -> None:
    token = {"credential": {"oauth_token_env": "SUB3_TOKEN"}}
    wishes = {
        "several nodes with different logins": {"config_dir": str(pool.homes / "twice")},
        "is no directory": {"config_dir": str(pool.homes / "nowhere")},
        "no node is called 'zone=b'": {**token, "node": "zone=b"},
    }

    for reason, wish in wishes.items():
        began = time.monotonic()
        refused = http.post("/v1/subscriptions", json={"id": "new", **wish})

        assert (refused.status_code, reason in refused.json()["detail"]) == (422, True)
        assert time.monotonic() - began < 10


def test_a_run_of_a_node_that_was_away_ends_as_it_did_there_and_is_charged_once(
    pool: TwoNodes, http: httpx.Client
) -> None:
    _, second = pool.nodes(http)
    billed = pool.api.standin.bill.total().cost_nano_usd
    slow = {"prompt": "[[standin slow seconds=10 chunks=8]] two", "subscription_id": "sub1"}
    started = http.post("/v1/executions", json={**slow, "background": True}).json()
    wait_for(lambda: pool.has_started(started["id"]))

    pool.raylet.close()
    wait_for(lambda: pool.nodes(http)[1] is None and pool.nodes(http)[0]["subscriptions"])
    moved, _ = pool.nodes(http)
    held = http.get("/v1/subscriptions/sub1").json()
    pool.join()
    ended = http.get(f"/v1/executions/{started['id']}", params={"wait_seconds": 30}).json()
    wait_for(lambda: (pool.nodes(http)[1] or moved)["subscriptions"] == ["tied"])
    _, back = pool.nodes(http)

    # While its node was away, its CLI went on there: the slot was held.
    assert (moved["subscriptions"], held["running"]) == (["sub1"], 1)
    # For Ray the node is another one since.
    assert back["ray_node_id"] != second["ray_node_id"]
    assert back["id"] == second["id"]
    assert ended["status"] == "succeeded"
    assert [each["node"] for each in ended["attempts"]] == [second["id"]]
    assert pool.api.standin.bill.total().cost_nano_usd - billed == cost_of([ended])


def test_a_session_goes_on_where_its_subscription_has_moved(
    pool: TwoNodes, http: httpx.Client
) -> None:
    first, second = pool.nodes(http)
    page = http.get("/v1/executions", params={"subscription_id": "sub1"}).json()
    before = page["items"][0]
    turn = {"prompt": "and then?", "session_id": before["session_id"]}

    after = http.post("/v1/executions", json=turn).json()

    assert [each["node"] for each in before["attempts"]] == [second["id"]]
    assert after["status"] == "succeeded", after["error"]
    assert [each["node"] for each in after["attempts"]] == [first["id"]]
