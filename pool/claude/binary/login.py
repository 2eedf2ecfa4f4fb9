"""The end of a subscription's login: after it nobody but a human can bring the login back.

A login made by ``claude /login`` is kept in ``.credentials.json``: an access token of some hours,
and a refresh token that renews it. The end of the access token is no end of the login; that of the
refresh token is, since renewing never moves it (CLI 2.1.330: 30 days unless the server says
otherwise). The CLI itself says that the login may be over up to three days before that. An access
token without a refresh token ends by itself. Tokens in variables are not looked at: of those of
``claude setup-token`` nothing on the machine knows the end. What is read here goes nowhere else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pool.claude.binary.auth import AuthStatus

FILE = ".credentials.json"
LARGEST_BYTES = 1_000_000
"""A login has one kilobyte, and its file little more."""
_VARIABLES = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
"""Credentials that the CLI prefers to a login."""
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
_LATEST = timedelta(days=3650)
"""The CLI believes no end that is earlier, or later than this from now."""
_BELIEVED = timedelta(days=3)
"""Nor an end of the refresh token that lies further than this before that of the access token."""


async def login_expires_at(
    environment: Mapping[str, str], now: datetime, status: Callable[[], Awaitable[AuthStatus]]
) -> datetime | None:
    """When the login of a run's environment ends; None where it has none, or nobody knows.

    The CLI is asked (``status``) only where there is no file: it may keep the login elsewhere, as
    in the Keychain of macOS.
    """
    if any(environment.get(name) for name in _VARIABLES):
        return None
    stored = await asyncio.to_thread(stored_login, Path(environment["CLAUDE_CONFIG_DIR"]))
    return (await status()).login_expires_at if stored is None else login_end(stored, now)


def stored_login(config_dir: Path) -> bytes | None:
    """What the CLI keeps there, empty where it cannot be read; None without a file. Blocking."""
    path = config_dir / FILE
    try:
        if not path.is_file():
            return b"" if path.exists() else None
        with path.open("rb") as file:
            return file.read(LARGEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def login_end(stored: bytes, now: datetime) -> datetime | None:
    """The end of a stored login; None where it does not tell one that can be believed."""
    try:
        kept = json.loads(stored)
    except (ValueError, RecursionError):
        return None
    login = kept.get("claudeAiOauth") if isinstance(kept, dict) else None
    if not isinstance(login, dict):
        return None
    access_ends = _instant(login.get("expiresAt"), now)
    ends = _instant(login.get("refreshTokenExpiresAt"), now)
    if not _is_token(login.get("accessToken")):  # it was refused for good, and the CLI emptied it
        return ends if ends is not None and ends <= now else None
    if not _is_token(login.get("refreshToken")):
        return access_ends
    if ends is not None and access_ends is not None and access_ends > ends + _BELIEVED:
        return None
    return ends


def _is_token(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _instant(value: object, now: datetime) -> datetime | None:
    """A time in milliseconds, as the CLI writes it, or in seconds, as others do."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    earliest, latest = int(_EARLIEST.timestamp()), int((now + _LATEST).timestamp())
    for unit in (1000, 1):
        if earliest * unit <= value <= latest * unit:
            return datetime.fromtimestamp(value / unit, UTC)
    return None
