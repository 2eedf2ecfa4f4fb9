"""What a service with a Ray of its own shares, finds on the machine and leaves there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from actor_processes import actor_pid
from ports import free_port
from service import Service, write_config
from shared_pool import SharedPool

from actors.runtime.ray_address import NOTE

pytestmark = pytest.mark.timeout(240)

NOBODY = "http://127.0.0.1:9"


def epoch_of(http: httpx.Client, id_: str) -> int | None:
    found = http.get("/v1/subscriptions").json()["items"]
    return next((each["epoch"] for each in found if each["id"] == id_), None)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_services_with_a_ray_of_the_pools_own_share_it_and_the_second_ends_with_the_first(
    talking: SharedPool,
) -> None:
    first = talking.service
    port, other = first.url.rpartition(":")[2], first.config.with_name("third.toml")
    text = first.config.read_text(encoding="utf-8")
    other.write_text(text.replace(f"port = {port}", f"port = {free_port()}"), encoding="utf-8")
    second = Service(other, first.environment)
    try:
        second.start()
        note = first.data_dir / NOTE
        mode = note.stat().st_mode & 0o777
        with first.client() as http, second.client() as beside:
            made = beside.post("/v1/executions", json={"prompt": "q"}).json()
            found = http.get(f"/v1/executions/{made['id']}").json()
            before = epoch_of(http, "sub1")
            assert before is not None
            pid = actor_pid(first, "SubscriptionShell", "sub1/")
            assert pid is not None
            told = len(first.events())
            os.kill(pid, signal.SIGKILL)  # Ray tells of it in words and colours of its own
            eventually(lambda: epoch_of(http, "sub1") == before + 1)
        first.stop()
        assert second.process is not None
        code = second.process.wait(60)
    finally:
        second.kill()

    assert made["status"] == "succeeded"
    assert found == made
    assert (mode, note.exists(), code) == (0o600, False, 1)
    assert "the service has ended" in second.events()[-1]["problem"]
    assert any("worker died" in each.get("text", "") for each in first.events()[told:])
    assert list(talking.temporary.glob("cpool-*")) == []


def test_a_directory_that_ray_cannot_use_is_told_in_one_line(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("claude-pool")), "serve", "--config"]
    told = subprocess.run(
        [*command, str(write_config(tmp_path, NOBODY, subscriptions=1))],
        env={**os.environ, "SUB1_TOKEN": "test-token-1", "RAY_TMPDIR": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 1
    assert "RAY_TMPDIR: /nowhere is no directory" in told.stderr
    assert "Traceback" not in told.stderr
