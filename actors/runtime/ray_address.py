"""The address of a pool's Ray: a note in its data directory, for whoever joins on its machine.

Several Rays may run on one machine, and what Ray calls ``auto`` is the first that it finds. A pool
is found over its own ``pool.toml`` instead: the service notes where its Ray is, and a program joins
that one or none. Of several services with a Ray of the pool's own the first has it, for as long as
it lives, by a lock that ends with its process; the others join. Blocking.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from pool.config import Config, RaySettings, load
from pool.errors import ConfigError

NOTE = "ray.json"
LOCK = "ray.lock"
VARIABLE = "CLAUDE_POOL_CONFIG"
START_SECONDS = 60.0
"""How long another service may take to have its Ray running, and a router in it: 4 s, and 10 s more
where its database was that of another pool."""
LOOK_SECONDS = 0.1
TRIES = 3


@contextmanager
def claimed(config: Config) -> Iterator[bool]:
    """Whether the Ray of the pool is this service's to start, and to end; held for the length of
    the block.
    """
    lock = _opened_lock(config)
    try:
        is_ours = _taken(lock)
        if is_ours:
            if _of_a_holder(config):  # who noted that has ended
                (config.pool.data_dir / NOTE).unlink(missing_ok=True)
            os.ftruncate(lock, 0)
        yield is_ours
    finally:
        os.close(lock)


@contextmanager
def noted(config: Config, address: str) -> Iterator[None]:
    """Note where the Ray of this pool is, for its user alone. A cluster's actors outlive their
    service, and so does the note. One that holds the lock writes the address there as well: so its
    note is told from that of a cluster's service, which may have been given the same directory.
    """
    note, is_local = config.pool.data_dir / NOTE, config.ray.address == "local"
    new = note.with_suffix(".new")
    try:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            ray = RaySettings(address=address, namespace=config.ray.namespace)
            file.write(ray.model_dump_json())
        if is_local:
            (config.pool.data_dir / LOCK).write_bytes(address.encode())
        new.replace(note)
    except OSError as error:
        raise ConfigError("pool.data_dir", f"{note} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        if is_local and _of_a_holder(config):
            note.unlink(missing_ok=True)


def running(config: Config) -> RaySettings:
    """The Ray of the service that has the pool's own, once it is there. ``ConfigError`` where that
    takes too long, or the service has ended meanwhile.
    """
    deadline = time.monotonic() + START_SECONDS
    while is_claimed(config) and time.monotonic() < deadline:
        if found := _of_a_holder(config):
            return found
        time.sleep(LOOK_SECONDS)
    problem = "another service of this pool was starting, and is not there: start this one again"
    raise ConfigError("ray.address", problem)


def is_claimed(config: Config) -> bool:
    """Whether a service lives that has a Ray of the pool's own."""
    lock = config.pool.data_dir / LOCK
    if not lock.exists():
        return False
    descriptor = _opened_lock(config)
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _of_a_holder(config: Config) -> RaySettings | None:
    """What is noted, where whoever holds the lock noted it, or did that last."""
    found = _read(config.pool.data_dir / NOTE)
    with suppress(OSError):
        wrote = (config.pool.data_dir / LOCK).read_bytes()
        return found if found is not None and found.address.encode() == wrote else None
    return None


def find(environ: Mapping[str, str]) -> RaySettings:
    """The Ray of the pool of ``CLAUDE_POOL_CONFIG``, or else of the ``pool.toml`` here.

    ``RAY_ADDRESS`` goes first, as everywhere in Ray. ``ConfigError`` says what is not there.
    """
    named = environ.get(VARIABLE)
    path = Path(named or "pool.toml")
    if address := environ.get("RAY_ADDRESS"):
        ray = load(path).ray if named and path.is_file() else RaySettings()
        return RaySettings(address=address, namespace=ray.namespace)
    if not path.is_file():
        problem = (
            f"no pool is named: {path} is no file here; name the pool.toml of a service in it, "
            "or give connect() the address of a Ray cluster"
        )
        raise ConfigError(VARIABLE, problem)
    return _of(load(path), path)


def _of(config: Config, path: Path) -> RaySettings:
    ray, note = config.ray, config.pool.data_dir / NOTE
    match ray.address:
        case "local":
            found = _read(note) if is_claimed(config) else None
        case "auto":
            found = _read(note) or ray
        case _:
            found = ray
    if found is None:
        problem = f"no pool of {path} is there: begin with claude-pool serve --config {path}"
        raise ConfigError("ray.address", problem)
    return found


def _read(note: Path) -> RaySettings | None:
    try:
        return RaySettings.model_validate_json(note.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        problem = f"{note} cannot be read ({error.strerror}): be its user, or set RAY_ADDRESS"
        raise ConfigError("pool.data_dir", problem) from error


def _opened_lock(config: Config) -> int:
    lock = config.pool.data_dir / LOCK
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        problem = f"{lock} cannot be opened ({error.strerror}): be its user"
        raise ConfigError("pool.data_dir", problem) from error


def _taken(lock: int) -> bool:
    """Whether it is ours now. Whoever only looks holds it for an instant."""
    for _ in range(TRIES):
        if _locked(lock, fcntl.LOCK_EX):
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _locked(lock: int, kind: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        return True
    return False
