"""A new version takes over a pool of a cluster: what pip installs, in the place where the nodes
have it, with the old service, its runs and its callers still there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import cluster
from in_full import IS_FULL
from paths import ROOT
from ports import free_port
from service import COMMAND, Service, write_config
from stubcli import release, runs_of, stub_cli

pytestmark = pytest.mark.timeout(240)

VERSION = "99.0.0"
BUSY = {"subscription_id": "sub1"}
PAUSE_SECONDS = 0.4
SUBSCRIPTIONS = 6 if IS_FULL else 2
"""One after the other comes up with the new version."""


@dataclass
class Installed:
    """Where the code is, for the nodes and whoever starts a service: a link, so that all of it is
    another version at once.
    """

    folder: Path

    @property
    def here(self) -> Path:
        return self.folder / "installed"

    def install(self, version: str | None = None) -> None:
        """Unpack the wheel of this code, called a version."""
        (wheel,) = self.folder.glob("*.whl")
        place = self.folder / (version or "old")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(place)
        if version is not None:
            (about,) = place.glob("*.dist-info")
            name, _, old = about.stem.rpartition("-")
            kept = (about / "METADATA").read_text(encoding="utf-8")
            text = kept.replace(f"\nVersion: {old}\n", f"\nVersion: {version}\n", 1)
            assert text != kept
            (about / "METADATA").write_text(text, encoding="utf-8")
            about.rename(place / f"{name}-{version}.dist-info")
        link = self.folder / "link"
        link.symlink_to(place)
        link.replace(self.here)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    installed = Installed(tmp_path)
    installed.install()
    monkeypatch.setenv("PYTHONPATH", str(installed.here))
    return installed


def eventually(what: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.1)


def shown(http: httpx.Client, field: str) -> dict[str, Any]:
    return {each["id"]: each[field] for each in http.get("/v1/subscriptions").json()["items"]}


def test_a_new_version_takes_over_and_no_request_fails(
    tmp_path: Path, installed: Installed
) -> None:
    """A run under way, one that waits for its turn, one that is read along, and short ones."""
    cli = stub_cli(tmp_path)
    with (
        cluster(tmp_path) as address,
        ThreadPoolExecutor(8) as threads,
        ExitStack() as at_the_end,
    ):
        at_the_end.callback(release, cli, "upgraded")  # whatever fails: CLIs wait for that
        more = f'path = "{cli}"\n[ray]\naddress = "{address}"\n'
        config = write_config(
            tmp_path, "http://127.0.0.1:9", subscriptions=SUBSCRIPTIONS, more=more
        )
        text, old = config.read_text(encoding="utf-8"), Service(config)
        port = old.url.rpartition(":")[2]
        other = config.with_name("new.toml")
        other.write_text(text.replace(f"port = {port}", f"port = {free_port()}"), "utf-8")
        old.start()
        with old.client() as http:
            before = shown(http, "build")
            waits = [
                threads.submit(_post, http, f"[[until upgraded]] waits {n}.", **BUSY)
                for n in range(3)
            ]
            eventually(lambda: shown(http, "queued")["sub1"] == 1)
            body = {"prompt": "[[until upgraded]] read.", "subscription_id": "sub2"}
            begun = _post(http, **body, background=True).json()
            reads = threads.submit(http.get, f"/v1/executions/{begun['id']}/events")
            is_over = threading.Event()
            asks: Future[list[int]] = threads.submit(_asking, http, is_over)

            installed.install(VERSION)
            told = _doctor(config)
            new = Service(other)
            new.start()
            with new.client() as there:
                eventually(lambda: all(each.startswith(VERSION) for each in _builds(there)))
                after = shown(there, "epoch")
                release(cli, "upgraded")
                answers = [each.result() for each in waits]
                events = reads.result().text
                is_over.set()
                asked = asks.result()
                seen = [there.get(f"/v1/executions/{each.json()['id']}").json() for each in answers]
            new.stop()
        old.stop()

    assert not any(build.startswith(VERSION) for build in before.values())
    assert f"came up with version {before['sub1']}, {VERSION}+" in told
    assert after == {f"sub{n}": 2 for n in range(1, 1 + SUBSCRIPTIONS)}
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
