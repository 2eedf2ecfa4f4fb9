"""The real service as its own process: Ray, the real CLI, SQLite and HTTP, on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import httpx

from api.web.operator_key import operator_key
from pool.claude.process.files.run_directory import RunDirectory
from tests.support.clis.brief_cli import BRIEF
from tests.support.services.turns import starting_ray
from tests.support.suite.ports import free_port

START_SECONDS = 150.0
"""Ray alone takes 5-7 s on an idle machine, and a minute on one that does ten other things."""
COMMAND = str(Path(sys.executable).with_name("claude-pool"))
NO_TLS = False
"""Who speaks plain HTTP needs no certificates: reading them takes each new client 50 ms of a core,
ten times a second while Ray wants it to come up."""


def write_config(
    folder: Path,
    api_url: str,
    *,
    subscriptions: int = 3,
    slots: int = 2,
    drain_seconds: float = 20,
    processes: Mapping[str, object] = MappingProxyType({"keep_session_seconds": 2}),
    variables: Mapping[str, str] = MappingProxyType(BRIEF),
    more: str = "",
) -> Path:
    """A pool.toml whose tokens are ``test-token-1`` and so on, in ``SUB1_TOKEN`` ...

    What a test waits to be gone is not kept for long. ``variables`` are the CLI's own.
    """
    declared = "".join(
        f'[[subscriptions]]\nid = "sub{n}"\nmax_concurrent = {slots}\n'
        f'credential = {{ oauth_token_env = "SUB{n}_TOKEN" }}\n'
        for n in range(1, subscriptions + 1)
    )
    told = {"ANTHROPIC_BASE_URL": api_url, **variables}
    env = ", ".join(f"{name} = {json.dumps(value)}" for name, value in told.items())
    kept = "".join(f"{name} = {json.dumps(value)}\n" for name, value in processes.items())
    path = folder / "pool.toml"
    path.write_text(
        f'[pool]\ndata_dir = "data"\n'
        f"[server]\nport = {free_port()}\ndrain_seconds = {drain_seconds}\n"
        f'credential_env = ["SUB?_TOKEN"]\n'
        f"[processes]\n{kept}"
        f"[claude]\nenv = {{ {env} }}\n{more}{declared}",
        encoding="utf-8",
    )
    return path


class Service:
    """``claude-pool serve`` on a configuration."""

    def __init__(
        self,
        config: Path,
        environment: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.config = config
        self._start_seconds = start_seconds
        self.log = config.with_suffix(".log").with_stem(config.stem.replace("pool", "service"))
        """What it writes to standard error."""
        self.environment = {
            **os.environ,
            **{f"SUB{n}_TOKEN": f"test-token-{n}" for n in range(1, 10)},
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        port = next(
            line.split("=")[1].strip()
            for line in self.config.read_text(encoding="utf-8").splitlines()
            if line.startswith("port")
        )
        return f"http://127.0.0.1:{port}"

    @property
    def operator(self) -> dict[str, str]:
        """Headers with the operator's key, once it has been made."""
        key = operator_key(self.data_dir)
        return {} if key is None else {"x-api-key": key}

    def beside(self, name: str) -> Self:
        """One with the same file but for its name and the port."""
        port = self.url.rpartition(":")[2]
        text = self.config.read_text(encoding="utf-8")
        other = self.config.with_name(f"{name}.toml")
        other.write_text(text.replace(f"port = {port}", f"port = {free_port()}"), encoding="utf-8")
        return type(self)(other, self.environment, self._start_seconds)

    def client(self, *, as_operator: bool = True) -> httpx.Client:
        headers = self.operator if as_operator else {}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=120, trust_env=False, verify=NO_TLS
        )

    def start(self) -> None:
        """Start it and wait until it is ready, with all its subscriptions."""
        with starting_ray():
            self._start()

    def _start(self) -> None:
        self.begin()
        assert self.process is not None
        deadline = time.monotonic() + self._start_seconds
        with self.client(as_operator=False) as http:
            while not self._is_ready(http):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.kill()  # nobody will stop what was not there
                    raise RuntimeError(self.log.read_text(encoding="utf-8")[-4000:])
                time.sleep(0.1)

    def begin(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = self.popen(
                [COMMAND, "serve", "--config", str(self.config)],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, **options)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start it, and stop it after the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def kill(self) -> None:
        """kill -9, without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator stops it."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise
            finally:
                self.process = None

    def _is_ready(self, http: httpx.Client) -> bool:
        with suppress(httpx.HTTPError):
            answer = http.get("/readyz", timeout=5)
            declared = self.config.read_text(encoding="utf-8").count("[[subscriptions]]")
            return answer.status_code == 200 and answer.json()["subscriptions"] >= declared
        return False

    def refusal(self) -> str:
        """Why it does not start."""
        self.begin()
        assert self.process is not None
        try:
            assert self.process.wait(60) == 1
        finally:
            self.kill()  # where it starts after all
        return str(self.events()[-1]["problem"])

    def events(self) -> list[dict[str, Any]]:
        """What it has written to standard error, which is JSON lines and nothing else."""
        return [json.loads(line) for line in self.log.read_bytes().splitlines()]

    @property
    def data_dir(self) -> Path:
        return self.config.parent / "data"

    def cli_processes(self) -> set[int]:
        """The CLIs that run for this service, all of them at one instant: one that has answered is
        on its way out, and runs nothing.

        Reading /proc takes a while, in which one may end and the next begin: those that are in two
        readings lived at the moment between them.
        """
        return self._clis() & self._clis()

    def _clis(self) -> set[int]:
        """What the runs say is their CLI, as far as it lives and has not answered."""
        runs = [RunDirectory(path.parent, path.name) for path in self.run_directories()]
        started = (run.process.started() for run in runs if not _has_answered(run))
        return {each.cli.pid for each in started if each is not None and each.cli.is_alive()}

    def run_directories(self) -> list[Path]:
        """Of runs that go on or are still to be looked after; some are kept for who reads along."""
        found = self.data_dir.glob("subscriptions/*/runs/*")
        return sorted(path for path in found if not (path / "kept").exists())


def _has_answered(run: RunDirectory) -> bool:
    stretch = run.stretch()
    return stretch is not None and stretch.answer_ends is not None


def cost_of(executions: list[dict[str, object]]) -> int:
    """Nano-dollars of executions as HTTP shows them."""
    from pool.money import nano_usd

    usages = [json.loads(json.dumps(each["usage"])) for each in executions]
    return sum(nano_usd(usage["cost_usd"]) for usage in usages)
