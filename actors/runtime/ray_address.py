"""The address of a pool's Ray: a note in its data directory, for the programs beside its service.

Several Rays may run on one machine, and what Ray calls ``auto`` is the first that it finds. A pool
is found over its own ``pool.toml`` instead: the service notes the address of its Ray, and a program
joins that one or none. Blocking.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from pool.config import Config, RaySettings, load
from pool.errors import ConfigError

NOTE = "ray.json"
VARIABLE = "CLAUDE_POOL_CONFIG"
ANSWER_SECONDS = 2.0
"""For a connection to a Ray that is said to be there: on a machine, or in its cluster."""


@contextmanager
def noted(config: Config, address: str) -> Iterator[None]:
    """Note where the Ray of this pool is. A cluster's actors outlive their service, and so does
    the note.
    """
    note = config.pool.data_dir / NOTE
    note.parent.mkdir(mode=0o700, exist_ok=True)
    new = note.with_suffix(".new")
    new.write_text(
        RaySettings(address=address, namespace=config.ray.namespace).model_dump_json(),
        encoding="utf-8",
    )
    new.replace(note)
    try:
        yield
    finally:
        if config.ray.address == "local":
            note.unlink(missing_ok=True)


def find(environ: Mapping[str, str]) -> RaySettings:
    """The Ray of the pool of ``CLAUDE_POOL_CONFIG``, or else of the ``pool.toml`` here.

    ``RAY_ADDRESS`` goes first, as everywhere in Ray. ``ConfigError`` says what is not there.
    """
    if address := environ.get("RAY_ADDRESS"):
        return RaySettings(address=address)
    path = Path(environ.get(VARIABLE) or "pool.toml")
    if not path.is_file():
        problem = (
            f"no pool is named: {path} is no file here; name the pool.toml of a service in it, "
            "or give connect() the address of a Ray cluster"
        )
        raise ConfigError(VARIABLE, problem)
    return _of(load(path), path)


def _of(config: Config, path: Path) -> RaySettings:
    found = config.ray
    if found.address in {"local", "auto"}:
        found = _read(config.pool.data_dir / NOTE) or found
    if found.address == "local" or not _answers(found.address):
        problem = f"no pool of {path} is there: begin with claude-pool serve --config {path}"
        raise ConfigError("ray.address", problem)
    return found


def _read(note: Path) -> RaySettings | None:
    try:
        return RaySettings.model_validate_json(note.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _answers(address: str) -> bool:
    """Whether somebody listens there; what is no host and port, Ray has to know."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError:
        return False
    return True
