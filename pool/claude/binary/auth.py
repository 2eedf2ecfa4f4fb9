"""The login of a subscription, by the CLI's own word.

``claude auth status`` looks at the environment and the config directory and asks no server: it
tells that there is a credential, not that it is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pool.claude.binary.locate import FIELD, ask
from pool.errors import ConfigError
from pool.values import Instant, Value


class AuthStatus(Value):
    """How the CLI is signed in; fields that a release does not print are None."""

    logged_in: bool
    method: str | None = None
    """``oauth_token``, ``api_key``, ``claude.ai`` or ``none``."""
    email: str | None = None
    account: str | None = None
    organization: str | None = None
    plan: str | None = None
    login_expires_at: Instant | None = None
    """Of a login that the CLI keeps itself."""


async def auth_status(
    executable: Path, environment: Mapping[str, str], *, seconds: float = 30
) -> AuthStatus:
    """Ask the CLI, in the environment of a run. ConfigError where its answer cannot be read."""
    answer = await ask(executable, "auth", "status", environment=environment, seconds=seconds)
    try:
        fields = json.loads(answer.stdout)
        logged_in = fields["loggedIn"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            FIELD, f"{str(executable)!r} does not answer `auth status` in JSON: update the CLI"
        ) from None
    return AuthStatus(
        logged_in=logged_in is True,
        method=_text(fields, "authMethod"),
        email=_text(fields, "email", "emailAddress"),
        account=_text(fields, "accountUuid", "accountId"),
        organization=_text(fields, "orgName", "organizationName", "orgId"),
        plan=_text(fields, "subscriptionType", "planTier"),
        login_expires_at=_instant(_text(fields, "loginExpiresAt")),
    )


def _text(fields: dict[str, Any], *names: str) -> str | None:
    """The first of several fields that holds words."""
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)


def _instant(text: str | None) -> datetime | None:
    """An instant as the CLI writes it, with its zone."""
    try:
        instant = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None
