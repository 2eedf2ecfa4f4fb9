from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pool.errors import Conflict
from pool.keys.api_keys import (
    ApiKey,
    IssuedKey,
    KeyLimits,
    KeySpec,
    declared_key,
    digest_of,
    ended,
    made,
    new_key_id,
    new_secret,
    presented,
    revoked,
    rotated,
    shown_key,
    verify,
)

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


def issued(**of: object) -> tuple[ApiKey, str]:
    """A new key, and what its caller sends."""
    secret = new_secret(new_key_id())
    shown = presented(secret)
    assert shown is not None
    return made(KeySpec.model_validate({"name": "ci"} | of), shown, NOON), secret


def opens(key: ApiKey, secret: str, now: datetime = NOON) -> bool:
    shown = presented(secret)
    return shown is not None and shown.id == key.id and verify(key, shown.digest, now)


def test_a_key_opens_with_its_secret_alone() -> None:
    key, secret = issued()
    _, other = issued()

    assert opens(key, secret)
    assert not opens(key, other)
    assert not verify(key, digest_of("anything"), NOON)


def test_no_two_keys_are_alike() -> None:
    assert len({new_secret(new_key_id()) for _ in range(100)}) == 100


def test_a_key_holds_no_secret() -> None:
    key, secret = issued()

    assert secret.split("_", 2)[2] not in key.model_dump_json()


@pytest.mark.parametrize(
    "text",
    ["", "cp_", "cp_0123456789abcdef_", "sk-ant-x", "cp_0123456789abcdeg_" + "a" * 43, "\u00fc"],
)
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    assert presented(text) is None


def test_an_expired_key_opens_nothing_from_that_instant_on() -> None:
    key, secret = issued(expires_at=NOON + HOUR)

    assert opens(key, secret, NOON + HOUR - TICK)
    assert not opens(key, secret, NOON + HOUR)
    assert ended(key, NOON + HOUR) == "has expired"


def test_a_revoked_key_opens_nothing() -> None:
    key, secret = issued()

    gone = revoked(key, NOON)

    assert not opens(gone, secret)
    assert ended(gone, NOON) == "was revoked"
    assert revoked(gone, NOON + HOUR) == gone


def test_after_a_rotation_both_secrets_open_until_the_grace_is_over() -> None:
    key, old = issued()
    new = new_secret(key.id)

    turned = rotated(key, presented(new).digest, HOUR, NOON)  # type: ignore[union-attr]

    assert opens(turned, new)
    assert opens(turned, old, NOON + HOUR - TICK)
    assert not opens(turned, old, NOON + HOUR)
    assert opens(turned, new, NOON + HOUR)


def test_a_rotation_without_grace_shuts_the_old_secret_out_at_once() -> None:
    key, old = issued()

    turned = rotated(key, digest_of("new"), timedelta(0), NOON)

    assert not opens(turned, old)


def test_a_second_rotation_shuts_the_first_secret_out() -> None:
    key, first = issued()

    turned = rotated(rotated(key, digest_of("b"), HOUR, NOON), digest_of("c"), HOUR, NOON)

    assert not opens(turned, first)
    assert verify(turned, digest_of("b"), NOON)


def test_a_rotation_that_is_repeated_changes_nothing() -> None:
    key, _ = issued()
    turned = rotated(key, digest_of("b"), HOUR, NOON)

    assert rotated(turned, digest_of("b"), HOUR, NOON + HOUR) == turned


def test_neither_secret_opens_a_revoked_key_and_it_cannot_be_rotated() -> None:
    key, old = issued()
    gone = revoked(rotated(key, digest_of("b"), HOUR, NOON), NOON)

    assert not opens(gone, old)
    assert not verify(gone, digest_of("b"), NOON)
    with pytest.raises(Conflict, match="was revoked: create a new one"):
        rotated(gone, digest_of("c"), HOUR, NOON)


def test_what_is_shown_holds_neither_secret_nor_digest() -> None:
    key, secret = issued()
    turned = rotated(key, digest_of("b"), HOUR, NOON)

    shown = shown_key(turned)

    for text in (shown.model_dump_json(), repr(shown), repr(turned), str(turned)):
        assert secret.split("_", 2)[2] not in text
        assert turned.digest not in text
        assert str(turned.previous_digest) not in text
    assert (shown.id, shown.name, shown.declared) == (key.id, "ci", False)


def test_a_secret_is_told_in_json_alone() -> None:
    key, secret = issued()

    told = IssuedKey(secret=secret, key=shown_key(key))  # type: ignore[arg-type]

    assert secret in told.model_dump_json()
    assert secret not in repr(told)


def test_a_key_of_the_file_is_shown_by_its_name() -> None:
    shown = declared_key(KeySpec(name="ci", scopes=("read",)))

    assert (shown.id, shown.declared, shown.scopes) == ("config:ci", True, ("read",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a b"},
        {"scopes": ()},
        {"scopes": ("root",)},
        {"daily_budget_usd": 0},
        {"weekly_budget_usd": -1},
        {"max_request_usd": "NaN"},
        {"requests_per_minute": 0},
        {"requests_per_minute": float("inf")},
        {"max_concurrent": 0},
        {"burst": 2},
        {"models": ()},
        {"models": ("a b",)},
        {"subscriptions": ("",)},
        {"tools": ("Read Write",)},
        {"working_directories": ("work",)},
        {"expires_at": "2026-01-28T12:00:00"},
        {"secret": "mine"},
        {"max_request_usd": 2, "daily_budget_usd": 1},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KeySpec.model_validate({"name": "ci"} | wrong)


def test_a_rate_without_a_burst_allows_a_minute_at_once() -> None:
    assert KeyLimits(requests_per_minute=2.5).pace == (timedelta(seconds=24), 3)


def test_names_are_matched_by_pattern() -> None:
    limits = KeyLimits(models=("claude-haiku-*", "claude-opus-4-1"), subscriptions=("sub?",))

    assert limits.covers_model("claude-haiku-4-5[1m]")
    assert limits.covers_model("claude-opus-4-1")
    assert not limits.covers_model("claude-opus-4-5")
    assert limits.covers_model("haiku")  # any model of the family is covered
    assert not limits.covers_model("opus")
    assert limits.covers_model("opus", {"claude-opus-4-1"})  # all that it runs as is covered
    assert not limits.covers_model("haiku", {"claude-haiku-5-5", "claude-opus-4-5"})
    assert limits.covers_subscription("sub1")
    assert not limits.covers_subscription("sub10")
    assert KeyLimits().covers_subscription("anything")
