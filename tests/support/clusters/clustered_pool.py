"""A pool in a Ray cluster that was there before and outlives its services, and that others join:
its code in a place where the nodes have it, SQLite, and a CLI that answers at once, or as told.
Its tests have it one after the other, as they do the pools of ``shared_pool``.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Self
from unittest.mock import patch

from tests.support.clis.stubcli import stub_cli
from tests.support.clusters.cluster import cluster
from tests.support.services.service import Service, write_config
from tests.support.suite.paths import ROOT

NOBODY = "127.0.0.1:9"
SUBSCRIPTIONS = 3
NUMBERS = count(1)


@dataclass
class Installed:
    """Where the code is, for the nodes and whoever starts a service: a link, so that all of it is
    another version at once.
    """

    folder: Path

    @property
    def here(self) -> Path:
        return self.folder / "installed"

    def link(self, place: Path) -> None:
        new = self.folder / "new"
        new.symlink_to(place)
        new.replace(self.here)

    def install(self, version: str) -> None:
        """Have there what pip installs of this code, called a version."""
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(self.folder)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
        (wheel,) = self.folder.glob("*.whl")
        place = self.folder / version
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(place)
        (about,) = place.glob("*.dist-info")
        name, _, old = about.stem.rpartition("-")
        kept = (about / "METADATA").read_text(encoding="utf-8")
        text = kept.replace(f"\nVersion: {old}\n", f"\nVersion: {version}\n", 1)
        assert text != kept
        (about / "METADATA").write_text(text, encoding="utf-8")
        about.rename(place / f"{name}-{version}.dist-info")
        assert compileall.compile_dir(place, quiet=1)  # or each process would, of those that begin
        self.link(place)


@dataclass
class ClusteredPool:
    _started: tuple[Installed, str, Service] | None = None
    _failed: Exception | None = None
    """Why it does not start, which takes minutes to find out."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def ready(self, folder: Callable[[str], Path], subscriptions: int = SUBSCRIPTIONS) -> Self:
        """Have its service run; where there is nothing yet, start all of it in new folders."""
        if self._failed is not None:
            raise RuntimeError("it did not start for a test before this one") from self._failed
        try:
            if self._started is None:
                self._start(folder, subscriptions)
            elif self.service.process is None or self.service.process.poll() is not None:
                self.service.start()
        except Exception as error:
            self._failed = error
            raise
        return self

    @property
    def installed(self) -> Installed:
        assert self._started is not None
        return self._started[0]

    @property
    def address(self) -> str:
        """Of its cluster."""
        assert self._started is not None
        return self._started[1]

    @property
    def service(self) -> Service:
        assert self._started is not None
        return self._started[2]

    @property
    def cli(self) -> Path:
        return self.service.config.with_name("claude")

    def beside(self, **replaced: str) -> Service:
        """A service on another port, once something in the file of both was replaced."""
        config = self.service.config
        text = config.read_text(encoding="utf-8")
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new, 1)
        config.write_text(text, encoding="utf-8")
        return self.service.beside(f"pool-{next(NUMBERS)}")

    def close(self) -> None:
        self._started = self._failed = None
        self._stack.close()

    def _start(self, folder: Callable[[str], Path], subscriptions: int) -> None:
        installed = Installed(folder("installed"))
        installed.link(ROOT)
        self._stack.enter_context(patch.dict(os.environ, PYTHONPATH=str(installed.here)))
        address = self._stack.enter_context(cluster(folder("ray")))
        service = Service(configured(folder("pool"), address, subscriptions))
        self._stack.callback(service.stop)
        service.start()
        self._started = installed, address, service


def configured(folder: Path, address: str, subscriptions: int = SUBSCRIPTIONS) -> Path:
    more = f'path = "{stub_cli(folder)}"\n[ray]\naddress = "{address}"\n'
    return write_config(folder, f"http://{NOBODY}", subscriptions=subscriptions, more=more)


CLUSTERED = ClusteredPool()
