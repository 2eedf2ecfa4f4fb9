"""Hosts of one machine: network namespaces with an address each and links that can be cut and
slowed, and below one path (``DISK``) a disk of their own, which outlives them.

All of it is in namespaces of one process, which ends when this one does, however that ends, and
the kernel ends everything in it: nothing is left on the machine, no link and no process, not one
that has a session of its own. Root needs no more than ``ip``, ``unshare`` and ``nsenter``; anybody
else a kernel that lets users have namespaces, as most do.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DISK = Path("/mnt")
"""Where each host has a disk of its own."""
NETWORK = "10.77.0"
DATABASE = f"{NETWORK}.254"
"""Of the database, which is beside the hosts; links to it can be cut like any other."""
NOWHERE = "02:00:00:00:00:01"
"""The address of no card: what is sent there is lost, and nobody is told."""
SECONDS = 20.0
_TOOLS = ("ip", "unshare", "nsenter")


class Hosted(subprocess.Popen[bytes]):
    """A process on a host. It stands below the one that entered the host, which ends as it does."""

    def send_signal(self, sig: int) -> None:
        for pid in children(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, sig)


@dataclass
class Host:
    name: str
    address: str
    disk: Path
    """What it sees as ``DISK``."""
    network: Network
    init: int = 0
    """Its first process, which takes all others with it."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def command(self, argv: Sequence[str]) -> list[str]:
        """A command that runs on it."""
        return [*_entering(self.init), *argv]

    def start(self, argv: Sequence[str], **options: Any) -> Hosted:
        """Start a process on it."""
        return Hosted(self.command(argv), **options)

    def run(self, *argv: str) -> str:
        done = subprocess.run(
            self.command(argv), check=True, capture_output=True, text=True, timeout=SECONDS
        )
        return done.stdout

    @contextmanager
    def listening(self, port: int) -> Iterator[Path]:
        """A socket of this machine that leads to a port which is listened to on the host."""
        path = self.disk / f"{port}.sock"
        with self.relaying(f"unix:{path}", f"127.0.0.1:{port}"):
            yield path

    @contextmanager
    def relaying(self, source: str, target: str) -> Iterator[None]:
        with relaying(self.command((sys.executable, str(HERE / "relay.py"), source, target))):
            yield

    def boot(self) -> None:
        """Begin it, or begin it again on the same disk."""
        self.disk.mkdir(exist_ok=True)
        setup = f"""
            hostname {self.name} && ip link set lo up && mount --bind "{self.disk}" {DISK} &&
            echo ready && read -r plugged && ip address add {self.address}/24 dev eth0 &&
            ip link set eth0 up && echo ready && {{ sleep infinity & wait; }}"""
        outer = self._stack.enter_context(
            _ready([*_entering(self.network.init), "unshare", *_OF_ITS_OWN, "sh", "-c", setup])
        )
        entered = only_child(outer.pid)
        self.init = only_child(entered)
        self.network.plug(self)
        assert outer.stdin is not None
        assert outer.stdout is not None
        outer.stdin.write(b"\n")
        outer.stdin.flush()
        assert outer.stdout.readline() == b"ready\n"

    def die(self) -> None:
        """Lose it, with everything that runs there, as a machine whose power is cut."""
        self.network.unplug(self)
        os.kill(self.init, signal.SIGKILL)
        self._stack.close()


@dataclass
class Network:
    """Hosts at one switch."""

    folder: Path
    init: int
    hosts: dict[str, Host] = field(default_factory=dict)
    _slowed: ExitStack = field(default_factory=ExitStack)

    def host(self, name: str) -> Host:
        """A further host."""
        address = f"{NETWORK}.{len(self.hosts) + 1}"
        host = self.hosts[name] = Host(name, address, self.folder / name, self)
        host.boot()
        return host

    def plug(self, host: Host) -> None:
        """Give a host its link."""
        pid = inner_pid(host.init, self.init)
        port = f"port-{host.name}"
        card = f"02:00:0a:4d:00:{int(host.address.rpartition('.')[2]):02x}"  # kept over a boot
        self.run(
            f"ip link add {port} type veth peer name eth0 address {card} netns {pid} && "
            f"ip link set {port} master switch up"
        )

    def unplug(self, host: Host) -> None:
        self.run(f"ip link del port-{host.name}")

    def cut(self, host: Host, *addresses: str) -> None:
        """Lose what a host and some others send each other (all others, and the database, unless
        told), without a word to either.
        """
        for other in addresses or self._others(host):
            host.run("sh", "-c", _lose(other))
            self._run_at(other, _lose(host.address))

    def heal(self, host: Host, *addresses: str) -> None:
        for other in addresses or self._others(host):
            host.run("sh", "-c", _find(other))
            self._run_at(other, _find(host.address))

    @contextmanager
    def parted(self, host: Host, *addresses: str) -> Iterator[None]:
        """Have a host ``cut`` off for as long as the block."""
        try:
            self.cut(host, *addresses)
            yield
        finally:
            self.heal(host, *addresses)

    @contextmanager
    def slowed(self, host: Host, seconds: float) -> Iterator[None]:
        """Have everything that a host sends and gets arrive later. A process passes it on: not
        every kernel can (``netem``).
        """
        port, near, far = f"port-{host.name}", f"near-{host.name}", f"far-{host.name}"
        self.run(
            f"ip link add {near} type veth peer name {far} && ip link set {near} up && "
            f"ip link set {far} master switch up && ip link set {port} nomaster"
        )
        passes = (sys.executable, str(HERE / "slow_link.py"), port, near, str(seconds))
        try:
            with relaying([*_entering(self.init), *passes]):
                yield
        finally:
            self.run(f"ip link del {near} && ip link set {port} master switch")

    def run(self, script: str) -> None:
        """Run a script beside the hosts."""
        argv = [*_entering(self.init), "sh", "-c", script]
        subprocess.run(argv, check=True, capture_output=True, timeout=SECONDS)

    def _others(self, host: Host) -> tuple[str, ...]:
        others = (each.address for each in self.hosts.values() if each is not host)
        return (*others, DATABASE)

    def _run_at(self, address: str, script: str) -> None:
        if address == DATABASE:
            self.run(script.replace("eth0", "switch"))
        else:
            there = next(each for each in self.hosts.values() if each.address == address)
            there.run("sh", "-c", script)


@contextmanager
def network(folder: Path, database: Path | None = None) -> Iterator[Network]:
    """A network without hosts; ``database`` is the socket that ``DATABASE`` leads to."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise RuntimeError(f"these tests need {missing}: apt-get install iproute2 util-linux")
    setup = f"""
        ip link set lo up && ip link add switch type bridge &&
        ip address add {DATABASE}/24 dev switch && ip link set switch up &&
        echo ready && exec cat"""
    with _ready(["unshare", *_user(), *_OF_ITS_OWN, "sh", "-c", setup]) as outer:
        made = Network(folder, only_child(outer.pid))
        with ExitStack() as stack:
            if database is not None:
                passes = (sys.executable, str(HERE / "relay.py"))
                ends = (f"{DATABASE}:5432", f"unix:{database}")
                stack.enter_context(relaying([*_entering(made.init), *passes, *ends]))
            yield made


_OF_ITS_OWN = ("--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


def _user() -> tuple[str, ...]:
    return () if os.geteuid() == 0 else ("--user", "--map-root-user")


def _entering(init: int) -> tuple[str, ...]:
    user = ("--user", "--preserve-credentials") if _user() else ()
    return ("nsenter", "--target", str(init), *user, "--net", "--mount", "--uts", "--pid")


@contextmanager
def _ready(argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that says so when it is ready, and ends when it is told nothing any more."""
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != b"ready\n":
            why = process.stderr.read().decode(errors="replace")
            raise RuntimeError(
                f"no namespaces to be had: {why.strip()}\nThese tests need root, or a kernel that "
                "lets users have namespaces (sysctl kernel.unprivileged_userns_clone=1, "
                "kernel.apparmor_restrict_unprivileged_userns=0)"
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def relaying(argv: Sequence[str]) -> Iterator[None]:
    """A helper process for as long as the block."""
    with _ready(argv):
        yield


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def only_child(pid: int) -> int:
    deadline = time.monotonic() + SECONDS
    while not (found := children(pid)):
        assert time.monotonic() < deadline, "it has no child"
        time.sleep(0.005)
    return found[0]


def inner_pid(pid: int, init: int) -> int:
    """What a process is called where another one is the first."""
    depth = len(_pids(init)) - 1
    return _pids(pid)[depth]


def _pids(pid: int) -> list[int]:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
    return [int(each) for each in line.split()[1:]]


def _lose(address: str) -> str:
    return f"ip neighbour replace {address} lladdr {NOWHERE} dev eth0 nud permanent"


def _find(address: str) -> str:
    return f"ip neighbour del {address} dev eth0 || true"
