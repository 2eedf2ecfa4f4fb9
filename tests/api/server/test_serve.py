"""The serving process from start to end, with a Ray of its own: some eight seconds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.server.serve import ready_line
from pool.config import parse
from tests.support.services.turns import starting_ray

START_SECONDS = 100.0


def test_the_ready_line_tells_url_subscriptions_keys_and_place() -> None:
    config = parse(
        {
            "pool": {"data_dir": "/srv/pool"},
            "subscriptions": [{"id": "a"}, {"id": "b"}],
            "api_keys": [{"name": "ci", "key_env": "CI_KEY"}],
        }
    )

    assert ready_line(config, "http://127.0.0.1:8600") == (
        "claude-pool listens on http://127.0.0.1:8600: subscriptions a, b; keys of ci; "
        "data in /srv/pool"
    )


@contextmanager
def _serving(folder: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    with output.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", "from api.main import app; app()", "serve"],
            cwd=folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _ready_url(process: subprocess.Popen[str], output: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"listens on (http://\S+):", output.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(output.read_text())


def test_it_says_when_it_is_ready_answers_and_ends_in_order_when_it_is_told(
    tmp_path: Path,
) -> None:
    config, output = tmp_path / "pool.toml", tmp_path / "output"
    config.write_text("[server]\nport = 0\n")
    with starting_ray(), _serving(tmp_path, output) as process:
        url = _ready_url(process, output)
        alive, ready = httpx.get(f"{url}/healthz"), httpx.get(f"{url}/readyz")
        process.send_signal(signal.SIGTERM)
        exit_code = process.wait(30)

    assert (alive.status_code, ready.status_code) == (200, 503)
    assert exit_code == 0, output.read_text()
    assert "Traceback" not in output.read_text()


def test_a_directory_that_ray_cannot_use_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pool.toml").touch()
    told = subprocess.run(
        [str(Path(sys.executable).with_name("claude-pool")), "serve", "--port=0"],
        cwd=tmp_path,
        env={**os.environ, "RAY_TMPDIR": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 1
    assert "RAY_TMPDIR: /nowhere is no directory" in told.stderr
    assert "Traceback" not in told.stderr
