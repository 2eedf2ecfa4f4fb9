"""A real PostgreSQL for tests: the binaries of ``pgserver``, on a free loopback port.

The server is a child of the test run and ends with it. ``fsync`` is off: nothing here cuts the
power, and what a killed server had written stays with the kernel. A cluster is made once a process,
for half a second of a core; each server has a copy of it.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from tests.support.suite.ports import free_port

PASSWORD = "a-secret-of-the-tests"
START_SECONDS = 20.0

_CONFIGURATION = """
listen_addresses = '127.0.0.1'
fsync = off
max_connections = 60
shared_buffers = 32MB
max_wal_size = 256MB
autovacuum = off
"""
_EMPTY = """
SET lock_timeout = '20s';
DO $$ DECLARE each record; has_rows boolean; BEGIN
  FOR each IN SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
    WHERE schemaname = '{schema}' AND tablename <> 'schema_version'
  LOOP
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || each.name || ')' INTO has_rows;
    IF has_rows THEN EXECUTE 'TRUNCATE ' || each.name || ' CASCADE'; END IF;
  END LOOP;
  PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false)
    FROM pg_sequences WHERE schemaname = '{schema}';
END $$
"""


def _installed() -> Path:
    found = find_spec("pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall"


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: who it runs as instead."""
    return "nobody" if os.geteuid() == 0 else None


def _folder() -> Path:
    """A new one of who the server runs as."""
    folder = Path(tempfile.mkdtemp(prefix="pool-tests-"))
    if (user := _unprivileged()) is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    return folder


@cache
def _shared() -> Path:
    """What servers of this process have in common; it goes with the process."""
    folder = _folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _binaries() -> Path:
    """The programs where the server's user can read them: a checkout may be private."""
    installed = _installed()
    if _unprivileged() is None:
        return installed / "bin"
    copy = _shared() / "site" / "pgserver" / "pginstall"
    shutil.copytree(installed, copy, symlinks=True)
    libraries = installed.parents[1] / "pgserver.libs"  # found by their place beside it
    if libraries.exists():
        shutil.copytree(libraries, copy.parents[1] / libraries.name, symlinks=True)
    return copy / "bin"


@cache
def _made() -> Path:
    """The data of a cluster that was never started."""
    data, password = _shared() / "data", _shared() / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    argv = [_binaries() / "initdb", "-D", data, "-U", "pool", "-A", "password"]
    argv += [f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run(argv, check=True, capture_output=True, user=_unprivileged())
    return data


class Server:
    """One cluster in a folder of its own. Killed and started again, it keeps port and data."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = _folder()
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = count(1)
        subprocess.run(["cp", "-a", _made(), self._data], check=True)
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"{_CONFIGURATION}unix_socket_directories = '{self._folder}'\n")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> Path:
        """Where it listens for whoever is in another network of this machine."""
        return self._folder / f".s.PGSQL.{self.port}"

    def url(self, *, port: int | None = None, password: str = PASSWORD, schema: str = "") -> str:
        query = f"?search_path={schema}" if schema else ""
        return f"postgresql://pool:{password}@127.0.0.1:{port or self.port}/postgres{query}"

    def fresh_schema(self) -> str:
        """The URL of a schema that is there and has nothing in it."""
        schema = f"test_{next(self._schemas)}"
        self.sql(f"CREATE SCHEMA {schema}")
        return self.url(schema=schema)

    def empty(self, url: str) -> None:
        """Take all rows out of a schema, and have its numbers begin anew: in a tenth of the time
        that it takes to make its tables. Fails where somebody is at work in it.
        """
        self.sql(_EMPTY.format(schema=url.rpartition("=")[2]))

    def sql(self, statement: str) -> str:
        """Run a statement from outside, on a connection of its own; its rows as text."""
        argv = [
            _binaries() / "psql",
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
            self.url(),
        ]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_binaries() / "postgres", "-D", self._data, "-p", str(self.port)],
                stdout=log,
                stderr=log,
                user=_unprivileged(),
            )
        ready = [_binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(ready, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9 of the postmaster and, as it cannot tell them, of its children."""
        assert self._process is not None
        # Stopped first: a backend that it forked after we looked would serve its connection on.
        self._process.send_signal(signal.SIGSTOP)
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        self._process.kill()
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # fast: sessions are ended, not waited for
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder)


@contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the block."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.close()
