"""The service with its records in PostgreSQL, moved there from SQLite, and killed there: what it
told outlives it, and the database stays its pool's, whose next Ray is another one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Server as Database
from service import Service, cost_of, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from pool.money import nano_usd

pytestmark = pytest.mark.timeout(240)

ONCE = {"idempotency-key": "once"}
WAITS = "waits for a pool that had this database"
"""Said by a router whose database another pool had, which may be alive."""


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app(Standin()), port=0) as server:
        yield server


def test_a_pool_moves_to_postgresql_and_goes_on_there_after_kill_9(
    database: Database, api: Server, tmp_path: Path
) -> None:
    service = Service(write_config(tmp_path, api.url, subscriptions=1))
    with service.running(), service.client() as http:
        before = [http.post("/v1/executions", json={"prompt": f"q {n}"}).json() for n in range(2)]

    url = database.fresh_schema()
    move = subprocess.run(
        [
            str(Path(sys.executable).with_name("claude-pool")),
            *("migrate-store", "--config", str(service.config)),
        ],
        env={**service.environment, "CLAUDE_POOL_MIGRATE_TO": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = service.config.read_text(encoding="utf-8")
    service.config.write_text(text.replace("[pool]\n", f'[pool]\nstore = "{url}"\n'))

    with service.running(), service.client() as http:
        turn = {"prompt": "go on", "session_id": before[0]["session_id"]}
        after = [http.post("/v1/executions", json=turn, headers=ONCE).json()]
        service.kill()
        service.start()
        again = http.post("/v1/executions", json=turn, headers=ONCE).json()
        kept = [http.get(f"/v1/executions/{each['id']}").json() for each in (*before, *after)]
        overview = http.get("/v1/pool").json()
        backup = http.post("/v1/backups")

    assert move.returncode == 0, move.stderr
    assert [*before, *after] == kept
    assert again == after[0]
    assert [each for each in service.events() if each["event"] == WAITS] == []
    assert (backup.status_code, backup.json()["type"]) == (501, "urn:claude-pool:not-supported")
    assert "use pg_dump" in backup.json()["detail"]
    assert before[0]["subscription_id"] == after[0]["subscription_id"]
    bill = api.standin.bill.total().cost_nano_usd
    assert (bill, bill) == (cost_of(kept), nano_usd(overview["total_cost_usd"]))
