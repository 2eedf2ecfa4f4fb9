"""The operator's key: a secret in a file of the data directory, which its user alone reads.

Whoever reads it could as well read and write the stores beside it. So it opens the service on this
machine as the operator's own: to make the first keys, and to change what a pool has, which nobody
does anonymously. It is made at the first start, and stays when there are keys. Blocking.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from pool.errors import ConfigError

FILE = "operator.key"
_FORM = re.compile(r"cpo_[A-Za-z0-9_-]{43}")


def operator_key(data_dir: Path) -> str | None:
    """The key of a pool on this machine; None for whoever may not read it, or where none is kept
    that others could not have read or made.
    """
    try:
        descriptor = os.open(data_dir / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor) as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            return None
        text = file.read(100).strip()
    return text if _FORM.fullmatch(text) else None


def ensure_operator_key(data_dir: Path) -> tuple[str, bool]:
    """The key of a pool that starts here, and whether it was made just now. One that others could
    have read or made is replaced. ``ConfigError`` where it cannot be kept.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = operator_key(data_dir)
        return (known, False) if known else (_made(data_dir), True)
    except OSError as error:
        problem = f"the operator's key cannot be kept in {data_dir / FILE}: {error.strerror}"
        raise ConfigError("pool.data_dir", f"{problem}: make it writable for this user") from error


def _made(data_dir: Path) -> str:
    """A new one, whole or not at all, and never readable by others. Of two services that start at
    once, the first one's stands.
    """
    path, key = data_dir / FILE, f"cpo_{secrets.token_urlsafe(32)}"
    new = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            os.link(new, path)
            return key
        if (known := operator_key(data_dir)) is not None:
            return known
        new.replace(path)
        return key
    finally:
        new.unlink(missing_ok=True)
