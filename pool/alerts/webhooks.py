"""Webhooks: the receivers of alerts, and how a message proves where it comes from.

Messages follow Standard Webhooks 1.0, so receivers verify them with its libraries: the header
``webhook-id`` names the alert and stays the same however often it is sent, ``webhook-timestamp`` is
the attempt's, and ``webhook-signature`` is an HMAC-SHA256 over id, timestamp and body. The secret
is written as its users know it: ``whsec_`` and base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from pool.alerts.alerts import Alert, AlertKind
from pool.alerts.ssrf import literal_address, why_forbidden
from pool.subscriptions.spec import EnvironmentName
from pool.values import Value, instant_text

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins
SECRET_BYTES = (24, 64)


def _usable(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a whole address, such as https://hooks.example/pool")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user or password: the signature proves who sends")
    _ = parts.port  # raises ValueError for one that cannot be
    return url


Url = Annotated[
    str,
    StringConstraints(max_length=2000, pattern=r"^[\x21-\x7e]+$"),
    AfterValidator(_usable),
]


class WebhookSpec(Value):
    """``[[webhooks]]``: one receiver of alerts."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    url: Url
    """It may hold a token in its path: it is in no log."""
    secret_env: EnvironmentName
    kinds: Annotated[tuple[AlertKind, ...], Field(min_length=1)] = tuple(AlertKind)
    """Which alerts it gets."""
    allow_private: bool = False
    """Whether it may be at an address that is not of the public internet."""

    @property
    def forbidden(self) -> str | None:
        """Why an address that is written in the URL is refused. Names are looked at when they are
        resolved, which is at every delivery.
        """
        address = literal_address(urlsplit(self.url).hostname or "")
        return None if address is None or self.allow_private else why_forbidden(address)


@dataclass(frozen=True)
class Webhook:
    """A receiver, and the key that it knows the pool by."""

    spec: WebhookSpec
    key: bytes = field(repr=False)

    def wants(self, alert: Alert) -> bool:
        return alert.kind in self.spec.kinds


def signing_key(secret: str) -> bytes:
    """The key in a secret as it is written. ``ValueError`` says what is wrong with it."""
    remedy = 'make one with: echo "whsec_$(openssl rand -base64 32)"'
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"must begin with {SECRET_PREFIX}; {remedy}")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"is no base64 after {SECRET_PREFIX}; {remedy}") from None
    shortest, longest = SECRET_BYTES
    if not shortest <= len(key) <= longest:
        raise ValueError(f"must hold {shortest} to {longest} bytes; {remedy}")
    return key


def payload(alert: Alert) -> bytes:
    """The body, the same at every attempt."""
    return json.dumps(
        {
            "type": f"alert.{alert.kind}",
            "timestamp": instant_text(alert.raised_at),
            "data": alert.model_dump(mode="json"),
        },
        separators=(",", ":"),
    ).encode()


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(key: bytes, alert: Alert, body: bytes, now: datetime) -> dict[str, str]:
    """What goes with a body that is sent at ``now``."""
    timestamp = int(now.timestamp())
    return {
        "content-type": "application/json",
        "user-agent": "claude-subscription-pool",
        "webhook-id": alert.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, alert.id, timestamp, body),
    }
