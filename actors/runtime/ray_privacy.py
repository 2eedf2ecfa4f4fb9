"""What keeps a Ray of the pool's own to itself: its token, and the variables of its processes.

Whoever has the token runs programs as the pool's user. Ray writes one with the permissions of the
day, and would hand the whole environment of the service, credentials and all, to each of its
processes, and so to every task of every program that joins. Here the token is made beforehand, for
its user alone, and Ray's processes inherit what programs need to run; the rest, which the pool's
own actors do need, goes to them as they are made, from memory to memory. Blocking.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pool.errors import ConfigError

_INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PWD"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CLAUDE_POOL_CONFIG"),
    }
)
_PREFIXES = ("LC_", "PYTHON", "RAY_")


def kept_back(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that Ray's processes do not inherit."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _INHERITED and not name.startswith(_PREFIXES)
    }


@contextmanager
def inherited_alone() -> Iterator[None]:
    """Have what this process starts meanwhile inherit nothing that is kept back."""
    kept = kept_back(os.environ)
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def take(variables: Mapping[str, str]) -> None:
    """Have this process know what it did not inherit."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def ensure_token(environ: Mapping[str, str], home: Path) -> None:
    """Make the token that Ray takes where none is named, and have nobody but its user read it."""
    if environ.get("RAY_AUTH_MODE") != "token" or environ.get("RAY_AUTH_TOKEN"):
        return
    named = environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else home / ".ray" / "auth_token"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not named and not (path.is_file() and path.read_bytes().strip()):
            _write(path, secrets.token_hex(32).encode())
        if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        problem = f"the token of Ray cannot be kept in {path}: {error.strerror}"
        remedy = "make that possible, or name a file in RAY_AUTH_TOKEN_PATH"
        raise ConfigError("RAY_AUTH_TOKEN_PATH", f"{problem}: {remedy}") from error


def _write(path: Path, token: bytes) -> None:
    """Whole or not at all, and never readable by others, not for a moment."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(token)
    try:
        os.link(new, path)  # another start may have made one meanwhile, which then counts
    except FileExistsError:
        if not path.read_bytes().strip():
            new.replace(path)
            return
    new.unlink()
