"""The service with its records in PostgreSQL, moved there from SQLite; refused to other pools that
are given the same database; and killed there: what it told outlives it, and the database stays its
pool's, whose next Ray is another one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.runtime.ray_address import NOTE
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from pool.executions.request import ExecutionRequest
from pool.money import nano_usd
from pool.nodes.identity import node_id
from pool.nodes.inventory import Inventory
from tests.support.pools import local_peers, localpool
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.services.service import Service, cost_of, write_config
from tests.support.stores.postgres import Server as Database
from tests.support.values.manual_clock import ManualClock

pytestmark = pytest.mark.timeout(240)

ONCE = {"idempotency-key": "once"}
WAITS = "waits for a pool that had this database"
"""Said by a router whose database another pool had, which may be alive."""


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app(Standin()), port=0) as server:
        yield server


async def fill(folder: Path, api_url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run some on SQLite, as a service on this node does, without Ray; what they are called."""
    known = Inventory(node_id=node_id(folder / "data"), hostname="host1")
    here = local_peers.THIS_NODE.model_copy(update={"inventory": known})
    for module in (local_peers, localpool):
        monkeypatch.setattr(module, "THIS_NODE", here)
    clock = ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "keep_seconds": 60, "reuses": True}
    async with real_cli_pool(folder, api_url, clock, **how) as pool:
        ran = [await pool.client.execute(ExecutionRequest(prompt=f"q {n}")) for n in range(2)]
    shutil.move(folder / "claude" / "sub1", folder / "data" / "subscriptions" / "sub1" / "claude")
    return [each.id for each in ran]


def on(url: str, config: Path) -> Service:
    """A service of a configuration, with its records in a database."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[pool]\n", f'[pool]\nstore = "{url}"\n'), encoding="utf-8")
    return Service(config)


def configured(folder: Path, api_url: str, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    return write_config(folder, api_url, subscriptions=1, more=more)


def run(http: httpx.Client, prompt: str, **of: Any) -> dict[str, Any]:
    """By a key that is used once."""
    body = {"prompt": prompt, **of}
    found: dict[str, Any] = http.post("/v1/executions", json=body, headers=ONCE).json()
    return found


def terms_of(database: Database, url: str) -> str:
    """How many routers have begun."""
    schema = url.partition("search_path=")[2]
    return database.sql(f"SELECT epoch FROM {schema}.owner WHERE subscription_id = 'router:'")


def test_a_pool_moves_to_postgresql_is_alone_there_and_goes_on_after_kill_9(
    database: Database, api: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, url = asyncio.run(fill(tmp_path, api.url, monkeypatch)), database.fresh_schema()
    config = configured(tmp_path, api.url)
    move = subprocess.run(
        [
            str(Path(sys.executable).with_name("claude-pool")),
            *("migrate-store", "--config", str(config)),
        ],
        env={**Service(config).environment, "CLAUDE_POOL_MIGRATE_TO": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert move.returncode == 0, move.stderr

    service = on(url, config)
    with service.running(), service.client() as http:
        before = [http.get(f"/v1/executions/{id_}").json() for id_ in ids]
        turn = {"prompt": "go on", "session_id": before[0]["session_id"]}
        after = run(http, **turn)
        terms = terms_of(database, url)
        ray = json.loads((service.data_dir / NOTE).read_text(encoding="utf-8"))
        of_its_own = on(url, configured(tmp_path / "other", api.url))
        joins = f'[ray]\naddress = "{ray["address"]}"\nnamespace = "third"\n'
        in_the_same_ray = on(url, configured(tmp_path / "third", api.url, joins))
        refusals = [each.refusal() for each in (of_its_own, in_the_same_ray)]
        undisturbed = terms_of(database, url)
        service.kill()
        service.start()
        again = run(http, **turn)
        kept = [http.get(f"/v1/executions/{each['id']}").json() for each in (*before, after)]
        overview = http.get("/v1/pool").json()
        backup = http.post("/v1/backups")

    assert [*before, after] == kept
    assert again == after
    assert {each["status"] for each in kept} == {"succeeded"}
    for refusal in refusals:
        assert refusal.startswith("pool.store: the pool 'claude-pool' of ")
        assert " has this database, and runs: give each pool a database or a schema" in refusal
    assert terms == undisturbed == "1"
    assert [each for each in service.events() if each["event"] == WAITS] == []
    assert (backup.status_code, backup.json()["type"]) == (501, "urn:claude-pool:not-supported")
    assert "use pg_dump" in backup.json()["detail"]
    assert before[0]["subscription_id"] == after["subscription_id"]
    bill = api.standin.bill.total().cost_nano_usd
    assert (bill, bill) == (cost_of(kept), nano_usd(overview["total_cost_usd"]))
