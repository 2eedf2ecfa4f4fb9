"""A Ray of the pool's own is nobody else's: where it listens, who reads its files, and what its
tasks see.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clis.stubcli import stub_cli
from tests.support.services.listeners import assert_reads_itself, family_of, listens_at
from tests.support.services.service import Service, write_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NOBODY = "http://127.0.0.1:9"
TASK = """\
import json, os
from actors import connect
connect()
import ray
@ray.remote(num_cpus=0)
def environment():
    return dict(os.environ)
print(json.dumps(ray.get(environment.remote())))
"""


@dataclass
class Closed:
    service: Service
    home: Path
    temporary: Path

    @property
    def pid(self) -> int:
        assert self.service.process is not None
        return self.service.process.pid


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    home = folder / "home"
    home.mkdir()
    config = write_config(folder, NOBODY, subscriptions=1, more=f'path = "{stub_cli(folder)}"\n')
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as short:
        service = Service(config, {"HOME": str(home), "TMPDIR": short})
        service.start()
        try:
            yield Closed(service, home, Path(short))
        finally:
            service.stop()


def test_nothing_of_a_pool_listens_but_on_loopback(closed: Closed) -> None:
    assert_reads_itself()

    found = listens_at(family_of(closed.pid))

    assert len(found) >= 5  # the service and Ray's own, or else this looks in the wrong place
    open_to_others = {place: pid for place, pid in found.items() if not place[0].is_loopback}
    assert open_to_others == {}


def test_nobody_else_reads_the_token_or_enters_where_ray_works(closed: Closed) -> None:
    (directory,) = closed.temporary.glob("cpool-*")

    modes = {
        each: each.stat().st_mode & 0o777 for each in (directory, closed.home / ".ray/auth_token")
    }

    assert list(modes.values()) == [0o700, 0o600]
    assert list(directory.glob("*/session_*"))  # it does work there


def test_a_task_sees_no_credential_and_a_run_has_its_own(closed: Closed) -> None:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("SUB", "RAY_"))
    }
    told = subprocess.run(
        [sys.executable, "-c", TASK],
        env={**environ, "HOME": str(closed.home), "CLAUDE_POOL_CONFIG": str(closed.service.config)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    seen = json.loads(told.stdout.splitlines()[-1])
    with closed.service.client() as http:
        answer = http.post("/v1/executions", json={"prompt": "say yes"}).json()

    assert [name for name, value in seen.items() if "test-token" in value] == []
    assert answer["status"] == "succeeded", answer


def test_no_process_of_ray_was_started_with_a_credential(closed: Closed) -> None:
    holders = [
        pid
        for pid in family_of(closed.pid)
        if b"test-token-1" in Path(f"/proc/{pid}/environ").read_bytes()
    ]

    assert holders == [closed.pid]
