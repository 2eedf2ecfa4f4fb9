"""A new version takes over a pool of a cluster, with the old service, its runs and its callers
still there.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.clis.stubcli import release, runs_of
from tests.support.clusters import clustered_pool
from tests.support.clusters.clustered_pool import ClusteredPool
from tests.support.services.service import COMMAND
from tests.support.suite.in_full import IS_FULL

pytestmark = pytest.mark.timeout(240)

VERSION = "99.0.0"
BUSY = {"subscription_id": "sub1"}
PAUSE_SECONDS = 0.4
SUBSCRIPTIONS = 6 if IS_FULL else 3
"""Where no other test began the pool. One after the other comes up with the new version."""


@pytest.fixture
def clustered(tmp_path_factory: pytest.TempPathFactory) -> ClusteredPool:
    return clustered_pool.CLUSTERED.ready(tmp_path_factory.mktemp, SUBSCRIPTIONS)


def eventually(what: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.1)


def shown(http: httpx.Client, field: str) -> dict[str, Any]:
    return {each["id"]: each[field] for each in http.get("/v1/subscriptions").json()["items"]}


def test_a_new_version_takes_over_and_no_request_fails(clustered: ClusteredPool) -> None:
    """A run under way, one that waits for its turn, one that is read along, and short ones."""
    cli, old, new = clustered.cli, clustered.service, clustered.beside()
    is_over = threading.Event()
    with ThreadPoolExecutor(8) as threads, ExitStack() as at_the_end:
        at_the_end.callback(is_over.set)  # whatever fails: threads wait for both
        at_the_end.callback(release, cli, "upgraded")
        at_the_end.callback(new.stop)
        http = at_the_end.enter_context(old.client())
        before, epochs = shown(http, "build"), shown(http, "epoch")
        waits = [
            threads.submit(_post, http, f"[[until upgraded]] waits {n}.", **BUSY) for n in range(3)
        ]
        eventually(lambda: shown(http, "queued")["sub1"] == 1)
        body = {"prompt": "[[until upgraded]] read.", "subscription_id": "sub2"}
        begun = _post(http, **body, background=True).json()
        reads = threads.submit(http.get, f"/v1/executions/{begun['id']}/events")
        asks: Future[list[int]] = threads.submit(_asking, http, is_over)

        clustered.installed.install(VERSION)
        told = _doctor(old.config)
        new.start()
        there = at_the_end.enter_context(new.client())
        eventually(lambda: all(each.startswith(VERSION) for each in _builds(there)))
        after = shown(there, "epoch")
        release(cli, "upgraded")
        answers = [each.result() for each in waits]
        events = reads.result().text
        is_over.set()
        asked = asks.result()
        seen = [there.get(f"/v1/executions/{each.json()['id']}").json() for each in answers]

    assert not any(build.startswith(VERSION) for build in before.values())
    assert f"came up with version {before['sub1']}, {VERSION}+" in told
    assert after == {id_: epoch + 1 for id_, epoch in epochs.items()}
    assert [each.status_code for each in answers] == [200] * 3, [each.text for each in answers]
    assert [(each["status"], len(each["attempts"])) for each in seen] == [("succeeded", 1)] * 3
    assert [runs_of(cli, f"waits {number}.") for number in range(3)] == [1] * 3
    assert "event: result" in events
    assert runs_of(cli, "read.") == 1
    assert (len(asked) > 5, set(asked)) == (True, {200})


def _post(http: httpx.Client, prompt: str, **of: Any) -> httpx.Response:
    return http.post("/v1/executions", json={"prompt": prompt, **of})


def _asking(http: httpx.Client, is_over: threading.Event) -> list[int]:
    """Short requests, one after the other, until it is over; how each was answered."""
    answers = []
    while not is_over.wait(PAUSE_SECONDS):
        answers.append(_post(http, "short.").status_code)
    return answers


def _builds(http: httpx.Client) -> list[str]:
    return [build or "" for build in shown(http, "build").values()]


def _doctor(config: Path) -> str:
    argv = [COMMAND, "doctor", "--config", str(config)]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    return " ".join((done.stdout + done.stderr).split())  # it folds its lines
