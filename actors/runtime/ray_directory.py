"""The directory of a Ray of the pool's own: short, private, and gone with it.

Ray keeps sockets, logs and objects below the system's directory for temporary files: a new folder
at every start, open to everybody, which nobody removes. It opens the very directory that it is
given, too: so that is one inside of another, which nobody else may enter. A long path is refused by
the system, since a socket's path has 107 bytes at most, and a directory that is not there by Ray.
So each start makes a directory of its own where its sockets fit, and holds its lock as long as it
lives; those of starts that have ended, however they did, are removed by the next one of the same
user. Blocking.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pool.errors import ConfigError

SYSTEM = Path("/tmp")  # noqa: S108 - a directory of the user's own is made in it
MAX_SOCKET_BYTES = 107
_INSIDE = "r"
_IN_IT = len(f"/{_INSIDE}/session_2026-01-28_12-00-00.000000_4194304/sockets/plasma_store.12")
_RANDOM = len("12345678")


def base_directory(environ: Mapping[str, str]) -> Path:
    """Where it is made: ``RAY_TMPDIR``, or the first that is there, writable and short of
    ``TMPDIR`` and ``/tmp``. ``ConfigError`` where none is.
    """
    if wanted := environ.get("RAY_TMPDIR"):
        if why := why_not(Path(wanted)):
            raise ConfigError("RAY_TMPDIR", f"{why}: name another directory, or unset it")
        return Path(wanted)
    known = [Path(each) for each in (environ.get("TMPDIR"), str(SYSTEM)) if each]
    found = next((each for each in known if why_not(each) is None), None)
    if found is None:
        reasons = "; ".join(str(why_not(each)) for each in known)
        raise ConfigError("TMPDIR", f"{reasons}: set RAY_TMPDIR to a short, writable directory")
    return found


def why_not(base: Path) -> str | None:
    """Why Ray cannot work below a directory; None where it can."""
    if len(os.fsencode(base)) + 1 + len(_prefix()) + _RANDOM + _IN_IT > MAX_SOCKET_BYTES:
        return f"{base} is too long for the sockets in it"
    if not base.is_absolute() or not base.is_dir():
        return f"{base} is no directory"
    if not os.access(base, os.W_OK | os.X_OK):
        return f"{base} cannot be written"
    return None


@contextmanager
def ray_directory(environ: Mapping[str, str]) -> Iterator[Path]:
    """A new directory, as long as this lasts. One that a failure leaves behind, with Ray's logs in
    it, stays until the next start.
    """
    base = base_directory(environ)
    clear(base)
    directory, lock = _made(base)
    try:
        inside = directory / _INSIDE
        inside.mkdir(mode=0o700)
        yield inside
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(lock)


def clear(base: Path) -> None:
    """Remove this user's directories whose start has ended."""
    for directory in base.glob(f"{_prefix()}*"):
        lock = _locked(directory)
        if lock is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def _made(base: Path) -> tuple[Path, int]:
    while True:
        try:
            directory = Path(tempfile.mkdtemp(prefix=_prefix(), dir=base))
        except OSError as error:
            raise ConfigError("TMPDIR", f"{base} takes no directory: {error.strerror}") from error
        lock = _locked(directory)
        if lock is not None:
            if directory.exists():
                return directory, lock
            os.close(lock)  # another start has taken it for one that ended


def _locked(directory: Path) -> int | None:
    """The lock of a directory of this user; None where somebody holds it, or it is another's."""
    with suppress(OSError):
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
        except OSError:
            pass
        os.close(lock)
    return None


def _prefix() -> str:
    return f"cpool-{os.getuid()}-"
