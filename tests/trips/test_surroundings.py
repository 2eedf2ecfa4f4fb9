"""A service where the machine's surroundings are not what they should be: real Ray, a CLI that
answers at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service, write_config
from stubcli import stub_cli

pytestmark = pytest.mark.timeout(240)

NOBODY = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), NOBODY)


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as directory:
        yield Path(directory)


def configured(folder: Path) -> Path:
    return write_config(folder, NOBODY, subscriptions=1, more=f'path = "{stub_cli(folder)}"\n')


def test_a_pool_works_without_a_good_tmpdir_and_behind_a_proxy(tmp_path: Path) -> None:
    temporary = tmp_path / ("x" * 60) / ("y" * 60)
    temporary.mkdir(parents=True)
    service = Service(configured(tmp_path), {**PROXIES, "TMPDIR": str(temporary)})
    service.start()
    try:
        told = subprocess.run(
            [str(Path(sys.executable).with_name("claude-pool")), "run", "say yes"],
            env={**os.environ, **PROXIES, "CLAUDE_POOL_URL": service.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        service.stop()

    assert told.returncode == 0, told.stderr


def test_a_start_leaves_nothing_and_removes_what_a_killed_one_left(
    tmp_path: Path, short: Path
) -> None:
    service = Service(configured(tmp_path), {"TMPDIR": str(short)})
    service.start()
    service.kill()
    left = list(short.glob("cpool-*"))
    assert len(left) == 1

    service.start()
    (ours,) = short.glob("cpool-*")
    assert ours not in left
    service.stop()

    assert list(short.glob("cpool-*")) == []


def test_a_directory_that_ray_cannot_use_is_told_in_one_line(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("claude-pool")), "serve", "--config"]
    told = subprocess.run(
        [*command, str(configured(tmp_path))],
        env={**os.environ, "SUB1_TOKEN": "test-token-1", "RAY_TMPDIR": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 1
    assert "RAY_TMPDIR: /nowhere is no directory" in told.stderr
    assert "Traceback" not in told.stderr
