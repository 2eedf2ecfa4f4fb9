"""The pool's records compared with Anthropic's, end to end: the real CLI, Ray and HTTP, and two
stand-ins, of which the Admin API's derives its figures from the other's bill.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.demo.standin.bill import Usage, fingerprint
from pool.admin_api.schedule import floor
from pool.claude.binary.locate import find_executable
from pool.claude.transcripts.external_files import ExternalFiles
from pool.reconciliation.findings import ReportKind
from pool.usage.model_names import by_base_name
from pool.usage.records import ModelUsage
from tests.support.admin_api.admin_standin import ADMIN_KEY, AdminStandin
from tests.support.clis.brief_cli import brief
from tests.support.services import shared_pool
from tests.support.services.service import Service
from tests.support.services.shared_pool import API_KEY, SharedPool

pytestmark = pytest.mark.timeout(240)

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedPool]:
    """With a subscription of an organization that takes work."""
    pool = shared_pool.POOL.ready(tmp_path_factory.mktemp)
    with pool.service.client() as http:
        http.post("/v1/subscriptions/key1/resume")
        yield pool
        http.post("/v1/subscriptions/key1/pause")


@pytest.fixture
def mind(pool: SharedPool) -> AdminStandin:
    return pool.organization


@pytest.fixture
def service(pool: SharedPool) -> Service:
    return pool.service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def execute(http: httpx.Client, subscription: str) -> dict[str, Any]:
    answer = http.post(
        "/v1/executions", json={"prompt": "say yes", "subscription_id": subscription}
    )
    assert answer.json()["status"] == "succeeded", answer.text
    found: dict[str, Any] = answer.json()
    return found


def reconciled(http: httpx.Client, since: datetime) -> dict[str, Any]:
    """The reconciliation of an hour that has ended, once it was compared."""
    body = {"starts_at": since.isoformat(), "ends_at": (since + HOUR).isoformat()}
    assert http.post("/v1/reconciliations", json=body).status_code == 202
    deadline = time.monotonic() + 100  # a second one within a minute has to wait
    while True:
        params = {"kind": "usage", "since": since.isoformat(), "limit": 1}
        (found,) = http.get("/v1/reconciliations", params=params).json()["items"]
        if found["state"] != "pending" or time.monotonic() > deadline:
            answer: dict[str, Any] = found
            return answer
        time.sleep(0.1)


def test_use_that_the_pool_did_not_see_is_found(
    http: httpx.Client, mind: AdminStandin, service: Service
) -> None:
    hour = floor(datetime.now(UTC), ReportKind.USAGE) - 3 * HOUR
    mind.extra(API_KEY, "claude-sonnet-4-5-20250929", Usage(input_tokens=10**6), hour)
    execute(http, "key1")  # teaches the price of such answers

    found = reconciled(http, hour)

    assert (found["state"], found["verdict"], found["exceeds"]) == (
        "compared",
        "local_missing",
        True,
    ), json.dumps(found)
    deadline = time.monotonic() + 20  # an actor's log comes a moment later
    while "reconciliation differs" not in (log := service.log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, log[-2000:]
        time.sleep(0.1)
    assert ADMIN_KEY not in log


def test_killing_the_reconciler_loses_nothing(http: httpx.Client, service: Service) -> None:
    if not http.get("/v1/reconciliations").json()["items"]:
        reconciled(http, floor(datetime.now(UTC), ReportKind.USAGE) - 4 * HOUR)
    before = http.get("/v1/reconciliations").json()

    os.kill(holder_of(service.data_dir / "reconciler.sqlite"), signal.SIGKILL)

    assert before["items"]
    assert http.get("/v1/reconciliations").json() == before


def holder_of(store: Path) -> int:
    """The process that has a store open."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and any(
                link.resolve() == store.resolve() for link in (entry / "fd").iterdir()
            ):
                return int(entry.name)
    raise LookupError(store)


def test_what_the_real_cli_tells_is_what_is_reported(
    http: httpx.Client, mind: AdminStandin
) -> None:
    """The hour has not ended, so the pool waits; here the two are brought together at once."""
    execute(http, "key1")
    since = floor(datetime.now(UTC), ReportKind.USAGE) - HOUR
    lines = mind.lines(since, since + 2 * HOUR)
    own = [each for each in lines if each.credential == fingerprint(API_KEY)]
    reported = by_base_name(
        {
            line.model: ModelUsage(
                input_tokens=sum(each.usage.input_tokens for each in own),
                output_tokens=sum(each.usage.output_tokens for each in own),
            )
            for line in own
        }
    )

    recorded: dict[str, ModelUsage] = {}
    for record in http.get("/v1/subscriptions/key1/usage").json()["items"]:
        for name, usage in record["usage"]["models"].items():
            counted = ModelUsage(
                input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"]
            )
            recorded[name] = recorded.get(name, ModelUsage()) + counted

    assert own
    assert by_base_name(recorded) == reported


def test_the_real_cli_beside_the_pool_is_told_from_the_pools_runs(
    http: httpx.Client, pool: SharedPool, service: Service
) -> None:
    execution = execute(http, "sub1")
    config_dir = service.data_dir / "subscriptions" / "sub1" / "claude"
    by_hand = by_hand_in(config_dir, pool.api.url)
    resumed = by_hand_in(config_dir, pool.api.url, "--resume", execution["session_id"])

    seen = ExternalFiles().read(config_dir, datetime.now(UTC) - HOUR)

    assert {each.session_id for each in seen} == {by_hand, resumed}
    own = {line.request_id for line in pool.standin.bill.lines("hand-token")}
    assert {id_ for each in seen for id_ in each.sighting.request_ids} == own
    assert len(own) == 2
    assert {each.sighting.usage.input_tokens for each in seen} == {100}


def by_hand_in(config_dir: Path, api_url: str, *options: str) -> str:
    """Run the CLI as somebody does who has nothing to do with the pool; its session."""
    executable = find_executable(None, search_path=os.environ.get("PATH"))
    projects = config_dir.parent / "work"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(config_dir.parent / "home"),
        "CLAUDE_CONFIG_DIR": str(config_dir),
        "CLAUDE_CODE_OAUTH_TOKEN": "hand-token",
        **brief(api_url),
        "NO_PROXY": "*",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "IS_SANDBOX": "1",
    }
    done = subprocess.run(
        [
            *(str(executable), "-p", "--output-format=json", "--tools=", "--strict-mcp-config"),
            *("--model=claude-sonnet-4-5", *options),
        ],
        input=b"say no",
        env=environment,
        cwd=projects,
        capture_output=True,
        timeout=60,
        check=True,
    )
    session_id: str = json.loads(done.stdout)["session_id"]
    return session_id
