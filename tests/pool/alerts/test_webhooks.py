from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pool.alerts.alerts import Alert, AlertKind, happened
from pool.alerts.webhooks import Webhook, WebhookSpec, headers, payload, signature, signing_key
from tests.support.values.examples import NOON

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def alert() -> Alert:
    return happened(AlertKind.NEEDS_LOGIN, "sub1", "sub1 has to sign in", key="1", now=NOON)


def spec(**fields: Any) -> WebhookSpec:
    plain = {"name": "ops", "url": "https://hooks.example/pool", "secret_env": "OPS_SECRET"}
    return WebhookSpec.model_validate(plain | fields)


def test_a_signature_is_the_one_that_standard_webhooks_give_as_their_example() -> None:
    body = b'{"test": 2432232314}'

    made = signature(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_attempt_has_its_own_time_and_the_same_id_and_body() -> None:
    body = payload(alert())

    sent = headers(signing_key(SECRET), alert(), body, NOON)

    assert body == payload(alert())
    assert sent["webhook-id"] == alert().id
    assert "." not in sent["webhook-id"]
    assert sent["webhook-timestamp"] == str(int(NOON.timestamp()))


def test_a_body_tells_the_type_the_time_and_the_alert() -> None:
    told = json.loads(payload(alert()))

    assert told["type"] == "alert.needs_login"
    assert told["timestamp"] == "2026-01-28T12:00:00.000Z"
    assert told["data"]["subject"] == "sub1"


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin with whsec_"),
        ("whsec_no base64!", "no base64"),
        ("whsec_c2hvcnQ=", "24 to 64 bytes"),
    ],
)
def test_a_secret_that_cannot_be_used_says_why_and_how_to_make_one(
    secret: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        signing_key(secret)

    assert "openssl rand" in str(refused.value)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/",
        "hooks.example",
        "https://",
        "https://user:password@hooks.example/",
        "https://hooks.example:99999/",
        "https://hooks.example/with space",
        "https://hooks.example/\r\nx: y",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        spec(url=url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "[::ffff:10.0.0.1]", "169.254.169.254"]
)
def test_a_private_address_in_the_url_is_known_before_anything_is_sent(host: str) -> None:
    assert spec(url=f"http://{host}/x").forbidden is not None
    assert spec(url=f"http://{host}/x", allow_private=True).forbidden is None
    assert spec(url="http://localhost/x").forbidden is None  # looked at when it is resolved


def test_a_webhook_is_told_the_kinds_it_names() -> None:
    logins = Webhook(spec(kinds=["needs_login"]), b"key")
    moves = Webhook(spec(kinds=["session_moved"]), b"key")

    assert (logins.wants(alert()), moves.wants(alert())) == (True, False)
    assert Webhook(spec(), b"key").wants(alert())
    assert "key" not in repr(logins).replace("key_env", "")
