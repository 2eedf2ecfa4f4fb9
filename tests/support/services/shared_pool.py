"""Pools that the tests of several files have one after the other: a real service with SQLite, and
the real CLI before a stand-in for Anthropic's API, or a stub for a CLI. A start takes 8 s of a
core, so what can take a pool as it comes does.

Each test finds nothing under way, a stand-in without limits that has billed nothing, and all
subscriptions available. What else is there - sessions, executions, usage - others may have left,
and whatever a test kills or stops it starts again. The files are one unit of ``workers``; after its
last test the pool ends.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from api.demo.standin.messages_api import create_app
from api.demo.standin.quota import utc_now
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from tests.support.admin_api.admin_standin import ADMIN_KEY, AdminStandin, create_admin_api
from tests.support.clis.stubcli import stub_cli
from tests.support.services.collector import Collector, collecting
from tests.support.services.service import Service, write_config

DRAIN_SECONDS = 0.5
"""What a stop leaves to what still runs: nothing does but in the test of it."""
PROXIES = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://127.0.0.1:9"
)
API_KEY = "test-api-key-1"
ORGANIZATION = """
[reconciliation]
base_url = "{url}"
latency_seconds = 300
[[organizations]]
id = "acme"
admin_key_env = "ACME_ADMIN_KEY"
subscriptions = ["key1"]
api_key_ids = ["apikey_1"]
workspace_ids = ["wrkspc_1"]
[[subscriptions]]
id = "key1"
kind = "api_key"
credential = {{ api_key_env = "KEY1" }}
"""
DECLARED_KEY = "key-that-a-shared-pool-declares"
"""Of ``op``, where it ``declares_key``."""
OF_OP = '[[api_keys]]\nname = "op"\nkey_env = "KEY"\nscopes = ["execute", "read", "admin"]\n'
TOKEN = "oauth-token-of-a-shared-pool"
TOKENS = {f"sub{n}": f"{TOKEN}-{n}" for n in (1, 2, 3)}
"""Of its subscriptions, as no other process of the machine has one."""
UNDER_WAY = ("queued", "running", "waiting_for_caller")
AVAILABLE_SECONDS = 60.0
"""For windows of seconds, which tests fill, to be over."""


@dataclass
class SharedPool:
    subscriptions: int
    processes: Mapping[str, object]
    more: str = ""
    """Of the configuration."""
    has_stub: bool = False
    is_awkward: bool = False
    """Its service is behind proxies that are none, and its ``TMPDIR`` is too long for Ray."""
    traces: bool = False
    log_level: str = "info"
    declares_key: bool = False
    """Who has no key then is let in nowhere."""
    has_organization: bool = False
    """Its subscription ``key1`` is paused, for tests that are not about it."""
    temporary: Path = Path()
    """What its service has for ``TMPDIR``."""
    _started: tuple[Server, Service, Collector, AdminStandin] | None = None
    _second: Service | None = None
    _failed: Exception | None = None
    """Why it does not start, which takes minutes to find out."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def ready(self, folder: Callable[[str], Path], at_work: int | None = None) -> Self:
        """Have it as every test finds it; where it is not there, start it in a new folder.

        ``at_work``: how many subscriptions are to have all that is asked; the others are paused.
        With one, what is asked next goes on in a process of the CLI that is there already.
        """
        if self._failed is not None:
            raise RuntimeError("it did not start for a test before this one") from self._failed
        try:
            self._be_there(folder)
        except Exception as error:
            self._failed = error
            raise
        with self.service.client() as http:
            _cancel_what_is_under_way(http)
            self.standin.reset()
            wanted = dict.fromkeys(self._ids, "paused")
            wanted |= dict.fromkeys(self._ids[:at_work], "available")
            for id_, state in wanted.items():
                to_do = "resume" if state == "available" else "pause"
                http.post(f"/v1/subscriptions/{id_}/{to_do}")
            deadline = time.monotonic() + AVAILABLE_SECONDS
            while self.states(http) != wanted:
                assert time.monotonic() < deadline, self.states(http)
                time.sleep(0.2)
        return self

    @property
    def api(self) -> Server:
        assert self._started is not None
        return self._started[0]

    @property
    def standin(self) -> Standin:
        return self.api.standin

    @property
    def service(self) -> Service:
        assert self._started is not None
        return self._started[1]

    def second(self) -> Service:
        """A further API process of the pool, on another port."""
        if self._second is None:
            self._second = self.service.beside("second")
            self._stack.callback(self._second.stop)
        if self._second.process is None or self._second.process.poll() is not None:
            self._second.start()
        return self._second

    @property
    def collector(self) -> Collector:
        """What has the pool's traces, if it ``traces``."""
        assert self._started is not None
        return self._started[2]

    @property
    def organization(self) -> AdminStandin:
        """What the organization's Admin API knows, if it has one."""
        assert self._started is not None
        return self._started[3]

    def states(self, http: httpx.Client) -> dict[str, str]:
        """Of those that work for everybody."""
        found = http.get("/v1/subscriptions").json()["items"]
        return {each["id"]: each["state"] for each in found if each["id"] in self._ids}

    def close(self) -> None:
        self._started = self._second = self._failed = None
        self._stack.close()

    @property
    def _ids(self) -> list[str]:
        return [f"sub{number}" for number in range(1, self.subscriptions + 1)]

    def _be_there(self, folder: Callable[[str], Path]) -> None:
        if self._started is None:
            self._start(folder("pool"))
        elif self.service.process is None or self.service.process.poll() is not None:
            self.service.start()

    def _start(self, folder: Path) -> None:
        api = self._stack.enter_context(serving(create_app(Standin()), port=0))
        collector = self._stack.enter_context(collecting())
        more = f'path = "{stub_cli(folder)}"\n' if self.has_stub else ""
        if self.traces:
            more += f'[tracing]\nendpoint = "{collector.url}"\n'
        mind = AdminStandin(api.standin.bill, utc_now)
        if self.has_organization:
            app = create_admin_api(mind)
            app.state.standin = mind
            admin = self._stack.enter_context(serving(app))
            more += ORGANIZATION.format(url=admin.url)
            mind.api_key(API_KEY, "apikey_1", "wrkspc_1")
        more += OF_OP if self.declares_key else ""
        config = write_config(
            folder,
            api.url,
            subscriptions=self.subscriptions,
            processes=self.processes,
            drain_seconds=DRAIN_SECONDS,
            more=more + self.more,
        )
        text = config.read_text(encoding="utf-8")
        talks = f'[pool]\nlog_level = "{self.log_level}"\n'
        config.write_text(text.replace("[pool]\n", talks), encoding="utf-8")
        service = Service(config, self._surroundings(folder))
        self._stack.callback(service.stop)
        service.start()
        self._started = api, service, collector, mind
        if self.has_organization:
            with service.client() as http:
                http.post("/v1/subscriptions/key1/pause")

    def _surroundings(self, folder: Path) -> dict[str, str]:
        short = tempfile.TemporaryDirectory(prefix="q", dir="/tmp")
        self.temporary = Path(self._stack.enter_context(short))
        if self.is_awkward:
            self.temporary = folder / ("x" * 60) / ("y" * 60)
            self.temporary.mkdir(parents=True)
        keys = {"KEY1": API_KEY, "ACME_ADMIN_KEY": ADMIN_KEY, "KEY": DECLARED_KEY}
        tokens = {f"{id_.upper()}_TOKEN": token for id_, token in TOKENS.items()}
        proxies = PROXIES if self.is_awkward else {}
        return {"TMPDIR": str(self.temporary), **keys, **tokens, **proxies}


def _cancel_what_is_under_way(http: httpx.Client) -> None:
    """What a test that failed has left holds slots, and is billed later."""
    for status in UNDER_WAY:
        found = http.get("/v1/executions", params={"status": status}).json()["items"]
        for each in found:
            http.post(f"/v1/executions/{each['id']}/cancel")


REUSED = {"reuse": "same_key"}
"""A process serves many requests: it is not processes that are looked at here."""
POOL = SharedPool(
    subscriptions=3,
    processes={"keep_session_seconds": 240, **REUSED},
    traces=True,
    log_level="debug",
    declares_key=True,
    has_organization=True,
)
"""Its logs are searched for what must not stand there, and so are as talkative as there is."""
AWKWARD = SharedPool(
    subscriptions=2,
    processes={"keep_session_seconds": 0},  # a stub answers once
    has_stub=True,
    more="[hibernation]\nidle_seconds = 6\n",
    is_awkward=True,
)
"""Its subscriptions are soon asleep."""
ALL = (POOL, AWKWARD)
