"""A pool on hosts: a raylet on each, ``head`` with the cluster's head, PostgreSQL beside them, the
service on ``head``, and a CLI that answers at once or after a nap and notes what it does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pool.nodes.inventory import note_activation
from tests.support.clis.stubcli import note_deaths, stub_cli, turns_of
from tests.support.clusters.cluster import (
    await_start,
    end,
    ensure_token,
    node_environment,
    ray_start,
)
from tests.support.clusters.hosts import DATABASE, DISK, Host, Hosted, Network, children, network
from tests.support.services.service import Service, write_config
from tests.support.services.turns import starting_ray
from tests.support.stores.postgres import Server as Database

PORT = 6379
WAIT_SECONDS = 60.0
PAUSE_SECONDS = 0.2
"""Between two looks: each asks the service, or reads what runs on a host, which takes some 10 ms of
a core that who is waited for needs.
"""


def eventually(what: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What something gives, once that is something."""
    began = time.monotonic()
    while not (found := what()):
        assert time.monotonic() - began < seconds, "it does not come to pass"
        time.sleep(PAUSE_SECONDS)
    return found


class HostedService(Service):
    """``claude-pool serve`` on a host; its clients are outside."""

    def __init__(self, config: Path, host: Host) -> None:
        super().__init__(config)
        self.host = host
        self.log = config.with_name(f"service-{host.name}.log")
        self._socket: Path | None = None
        self._listening = ExitStack()

    @property
    def data_dir(self) -> Path:
        return self.host.disk / "data"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def popen(self, argv: Sequence[str], **options: Any) -> Hosted:
        return self.host.start(argv, **options)

    def client(self, *, as_operator: bool = True) -> httpx.Client:
        if self._socket is None:
            self._socket = self._listening.enter_context(self.host.listening(self.port))
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._socket)),
            base_url=self.url,
            headers=self.operator if as_operator else {},
            timeout=180,
        )

    def close(self) -> None:
        self._listening.close()
        self._socket = None


@dataclass
class HostedPool:
    """``sub1``, ``sub2`` and so on have a token, which every node has."""

    folder: Path
    network: Network
    database: Database
    hosts: dict[str, Host]
    config: Path
    cli: Path
    service: HostedService
    raylets: dict[str, Hosted] = field(default_factory=dict)

    def head(self) -> None:
        """Start the head of the cluster."""
        address = self.hosts["head"].address
        where = (f"--node-ip-address={address}", f"--port={PORT}", f"--temp-dir={DISK / 'ray'}")
        self._start("head", ("--head", "--include-dashboard=false", *where))

    def join(self, *names: str) -> None:
        """Have nodes join, or join again."""
        to = f"--address={self.hosts['head'].address}:{PORT}"
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda name: self._start(name, (to, self._ip(name))), names))

    def rejoin(self) -> None:
        """Have those nodes join again that have left or ended, but for the head."""
        ended = {name for name, each in self.raylets.items() if each.poll() is not None}
        self.join(*(ended | (self.hosts.keys() - self.raylets.keys())) - {"head"})

    def leave(self, name: str) -> None:
        """kill -9 of a raylet and of Ray's processes beside it; the host and its CLIs live on."""
        end(self.raylets.pop(name))

    @contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """Have a node cut off from the others, though not from the database, until Ray has given it
        up; after that it joins again.
        """
        others = [host.address for host in self.hosts.values() if host.name != name]
        try:
            with self.network.parted(self.hosts[name], *others):
                yield
        finally:
            eventually(lambda: self.raylets[name].poll() is not None)
            self.join(name)

    def lose(self, name: str) -> None:
        """Lose a host, as a machine whose power is cut, and start it again on its disk."""
        self.hosts[name].die()
        self.raylets.pop(name).wait(10)
        note_deaths(self.cli, name)
        self.hosts[name].boot()

    def pids(self, name: str, title: str) -> list[int]:
        """Ray's processes on a host whose title holds something."""
        found = []
        for pid in _below(self.raylets[name].pid):
            with suppress(OSError):
                if title.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def shown(self, http: httpx.Client) -> dict[str, Any]:
        return {each["id"]: each for each in http.get("/v1/subscriptions").json()["items"]}

    def nodes(self, http: httpx.Client) -> dict[str, Any]:
        """The nodes that live, by the name of their host."""
        found = http.get("/v1/nodes").json()["items"]
        return {each["hostname"]: each for each in found if each["alive"]}

    def place_of(self, http: httpx.Client, id_: str) -> str:
        """The host where a subscription is; nothing where it is on none."""
        nodes = self.nodes(http)
        return next((name for name, each in nodes.items() if id_ in each["subscriptions"]), "")

    def routers(self) -> dict[str, int]:
        """The processes of routers, by host."""
        return {host: pid for host in self.raylets for pid in self.pids(host, "RouterShell")}

    def over_admitted(self, slots: int) -> dict[str, int]:
        """Subscriptions, by their token, that had more turns at a time than slots."""
        most: Counter[str] = Counter()
        now: Counter[str] = Counter()
        for is_begin, token, _ in turns_of(self.cli):
            now[token] += 1 if is_begin else -1
            most[token] = max(most[token], now[token])
        return {token: count for token, count in most.items() if count > slots}

    def close(self) -> None:
        self.service.stop()
        self.service.close()
        for raylet in self.raylets.values():
            end(raylet)

    def _ip(self, name: str) -> str:
        return f"--node-ip-address={self.hosts[name].address}"

    def _start(self, name: str, what: tuple[str, ...]) -> None:
        log = self.folder / f"ray-{name}.log"
        with log.open("wb") as output:
            self.raylets[name] = self.hosts[name].start(
                ray_start(what),
                env=node_environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        await_start(self.raylets[name], log)


def _below(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from _below(child)


@contextmanager
def hosted_pool(
    folder: Path,
    *,
    places: Mapping[str, str],
    subscriptions: int = 2,
    slots: int = 2,
    names: Sequence[str] = ("one", "two"),
    more: str = "",
) -> Iterator[HostedPool]:
    """A pool that is served, on ``head`` and the hosts of these names. ``places`` are the hosts
    where subscriptions were last, and so are first; ``more`` stands in the configuration.
    """
    ensure_token()
    database = Database()
    with ExitStack() as stack:
        stack.callback(database.close)
        database.start()
        net = stack.enter_context(network(folder, database.socket))
        hosts = {name: net.host(name) for name in ("head", *names)}
        for id_, name in places.items():
            note_activation(hosts[name].disk / "data" / "subscriptions" / id_, 1)
        schema = database.fresh_schema().rpartition("=")[2]
        store = database.url(schema=schema).replace(
            f"127.0.0.1:{database.port}", f"{DATABASE}:5432"
        )
        cli = stub_cli(folder)
        joins = f'path = "{cli}"\n[ray]\naddress = "{hosts["head"].address}:{PORT}"\n{more}'
        config = write_config(
            folder,
            "http://127.0.0.1:9",
            subscriptions=subscriptions,
            slots=slots,
            processes={"keep_session_seconds": 0},  # the CLI here answers once
            more=joins,
        )
        text = config.read_text(encoding="utf-8")
        there = f'data_dir = "{DISK / "data"}"\nstore = "{store}"'
        config.write_text(text.replace('data_dir = "data"', there), encoding="utf-8")
        service = HostedService(config, hosts["head"])
        pool = HostedPool(folder, net, database, hosts, config, cli, service)
        stack.callback(pool.close)
        with starting_ray():
            pool.head()
            pool.join(*names)
        service.start()
        yield pool
