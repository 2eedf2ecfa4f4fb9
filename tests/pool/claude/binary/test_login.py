from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.claude.binary.auth import AuthStatus
from pool.claude.binary.login import LARGEST_BYTES, login_end, login_expires_at, stored_login
from tests.support.values.examples import NOON

DAY = timedelta(days=1)
TOKEN = "test-token-of-a-login"


def ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def login(**fields: Any) -> bytes:
    """A login as the CLI keeps it: renewed for ten days more, with an access token of an hour."""
    plain = {
        "accessToken": TOKEN,
        "refreshToken": TOKEN,
        "expiresAt": ms(NOON + timedelta(hours=1)),
        "refreshTokenExpiresAt": ms(NOON + 10 * DAY),
        "scopes": ["user:inference"],
    }
    kept = {name: value for name, value in (plain | fields).items() if value is not ...}
    return json.dumps({"claudeAiOauth": kept}).encode()


# -- what a stored login says ----------------------------------------------------------------------


def test_a_login_ends_with_its_refresh_token_and_not_with_its_access_token() -> None:
    assert login_end(login(), NOON) == NOON + 10 * DAY


@pytest.mark.parametrize("access", [NOON - DAY, NOON + 11 * DAY])
def test_it_ends_then_whatever_becomes_of_the_access_token(access: datetime) -> None:
    assert login_end(login(expiresAt=ms(access)), NOON) == NOON + 10 * DAY


@pytest.mark.parametrize("missing", [..., None, ""])
def test_an_access_token_that_cannot_be_renewed_ends_the_login(missing: Any) -> None:
    assert login_end(login(refreshToken=missing), NOON) == NOON + timedelta(hours=1)


def test_a_login_that_can_be_renewed_without_a_known_end_has_none() -> None:
    assert login_end(login(refreshTokenExpiresAt=...), NOON) is None


def test_an_end_that_is_over_is_an_end() -> None:
    assert login_end(login(refreshTokenExpiresAt=ms(NOON - DAY)), NOON) == NOON - DAY


def test_a_login_that_the_cli_has_emptied_ended_by_its_time_or_nobody_knows_when() -> None:
    emptied = {"accessToken": "", "refreshToken": "", "expiresAt": 0, "loginEnded": "time_limit"}

    by_time = login_end(login(**emptied, refreshTokenExpiresAt=ms(NOON - DAY)), NOON)
    revoked = login_end(login(**emptied), NOON)

    assert (by_time, revoked) == (NOON - DAY, None)


def test_an_end_long_before_that_of_the_access_token_is_not_believed() -> None:
    assert login_end(login(expiresAt=ms(NOON + 14 * DAY)), NOON) is None


def test_seconds_are_told_from_milliseconds() -> None:
    ends = NOON + 10 * DAY

    assert login_end(login(refreshTokenExpiresAt=ends.timestamp()), NOON) == ends
    assert login_end(login(refreshTokenExpiresAt=int(ends.timestamp())), NOON) == ends


@pytest.mark.parametrize(
    "odd",
    [
        *(None, True, "", "soon", str(ms(NOON + DAY)), "2026-02-01T00:00:00Z", [ms(NOON)], {}),
        *(0, -1, 1, 1e300, float("nan"), float("inf"), 10**400),
        ms(datetime(2024, 12, 31, tzinfo=UTC)),
        ms(datetime(9999, 1, 1, tzinfo=UTC)),
        ms(NOON + 3651 * DAY),
        ms(NOON + 10 * DAY) * 1000,
    ],
)
def test_an_end_that_cannot_be_meant_is_none(odd: Any) -> None:
    assert login_end(login(refreshTokenExpiresAt=odd), NOON) is None
    assert login_end(login(refreshToken=None, expiresAt=odd), NOON) is None


@pytest.mark.parametrize(
    "stored",
    [
        *(b"", b"{", b"null", b"[]", b"1", b'"text"', b"\xff\xfe\x00", b"[" * 100_000),
        *(b"{}", b'{"claudeAiOauth": null}', b'{"claudeAiOauth": []}', b'{"claudeAiOauth": {}}'),
        b'{"mcpOAuth": {"expiresAt": 1}}',
        login()[:-10],
        b'{"claudeAiOauth": {"expiresAt": ' + b"9" * 10_000 + b"}}",
    ],
)
def test_a_file_of_another_kind_tells_nothing(stored: bytes) -> None:
    assert login_end(stored, NOON) is None


# -- where it is kept ------------------------------------------------------------------------------

Ask = Callable[[], Awaitable[AuthStatus]]


def saying(ends_at: datetime | None = None) -> tuple[Ask, list[str]]:
    """A CLI that says when its login ends, and how often it was asked."""
    asked: list[str] = []

    async def status() -> AuthStatus:
        asked.append("auth status")
        return AuthStatus(logged_in=True, login_expires_at=ends_at)

    return status, asked


async def test_the_file_in_the_config_directory_is_read_and_the_cli_not_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / ".credentials.json").write_bytes(login())
    status, asked = saying(NOON + DAY)

    ends = await login_expires_at({"CLAUDE_CONFIG_DIR": str(tmp_path)}, NOON, status)

    assert (ends, asked) == (NOON + 10 * DAY, [])


async def test_where_there_is_no_file_the_cli_is_asked(tmp_path: Path) -> None:
    status, asked = saying(NOON + DAY)

    ends = await login_expires_at(
        {"CLAUDE_CONFIG_DIR": str(tmp_path / "subscription")}, NOON, status
    )

    assert (ends, asked) == (NOON + DAY, ["auth status"])


@pytest.mark.parametrize("name", ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY"])
async def test_a_credential_in_a_variable_is_used_instead_and_has_no_known_end(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / ".credentials.json").write_bytes(login())
    status, asked = saying(NOON + DAY)

    ends = await login_expires_at({"CLAUDE_CONFIG_DIR": str(tmp_path), name: TOKEN}, NOON, status)

    assert (ends, asked) == (None, [])


def test_what_is_no_file_or_cannot_be_read_is_empty_and_waits_for_nobody(tmp_path: Path) -> None:
    for name in ("directory", "pipe", "dangling"):
        (tmp_path / name).mkdir()
    (tmp_path / "directory" / ".credentials.json").mkdir()
    os.mkfifo(tmp_path / "pipe" / ".credentials.json")
    (tmp_path / "dangling" / ".credentials.json").symlink_to(tmp_path / "nowhere")

    found = [stored_login(tmp_path / name) for name in ("directory", "pipe", "dangling")]

    assert found == [b"", b"", None]


def test_no_more_is_read_than_a_login_can_have(tmp_path: Path) -> None:
    (tmp_path / ".credentials.json").write_bytes(b" " * (LARGEST_BYTES + 1))

    assert len(stored_login(tmp_path) or b"") == LARGEST_BYTES
