"""Anthropic's limits by the CLI's own word, without a run: the control request ``get_usage``.

Tried on 2.1.332 with a login in the config directory: the CLI asks Anthropic, whatever
``ANTHROPIC_BASE_URL`` says, and answers before it exits at the end of its input; a process that is
idle, or parked, answers as well, in 10 ms instead of 0.9 s of CPU. Without a profile
(a setup token, an API key) it says that there is nothing to be had; where Anthropic does not answer
the limits are null. It is read leniently: the CLI calls all of it internal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pool.claude.binary.locate import FIELD, ask
from pool.claude.binary.models import QUIET_ARGUMENTS
from pool.errors import ConfigError
from pool.limits.usage_reading import ExtraUsage, NoProfile, UsageReading
from pool.limits.windows import (
    FIVE_HOUR,
    SEVEN_DAY,
    RateLimitEvent,
    Window,
    family_of,
    models_of,
    window_of_family,
)

QUESTION_ID = "usage"
QUESTION = (
    b'{"type":"control_request","request_id":"usage",'
    b'"request":{"subtype":"get_usage","skip_behaviors":true}}\n'
)


async def read_usage(
    executable: Path, environment: Mapping[str, str], now: datetime, *, seconds: float = 60
) -> UsageReading | NoProfile:
    """Start the CLI to ask it. ``ConfigError`` where it, or Anthropic, does not say."""
    answer = await ask(
        executable, *QUIET_ARGUMENTS, environment=environment, stdin=QUESTION, seconds=seconds
    )
    return said(usage_reading(answer.stdout, now), executable)


def said(reading: UsageReading | NoProfile | None, executable: Path) -> UsageReading | NoProfile:
    """A reading that there is. ``ConfigError`` where there is none."""
    if reading is None:
        raise ConfigError(FIELD, f"{str(executable)!r} does not say what is used of its limits")
    return reading


def usage_reading(printed: str, now: datetime) -> UsageReading | NoProfile | None:
    """What the CLI has printed of an account's limits; None where it did not get them."""
    readings = (usage_told(told, now) for told in _told(printed))
    return next((reading for reading in readings if reading is not None), None)


def usage_told(told: Mapping[str, Any], now: datetime) -> UsageReading | NoProfile | None:
    """What the answer to ``QUESTION`` says of them."""
    if told.get("rate_limits_available") is False:
        return NoProfile()
    limits = told.get("rate_limits")
    return _reading(limits, now) if isinstance(limits, dict) else None


def _told(printed: str) -> Iterator[dict[str, Any]]:
    for line in printed.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            message = json.loads(line)
            told = message["response"]["response"]
            if message["type"] == "control_response" and "rate_limits_available" in told:
                yield told


def _reading(limits: dict[str, Any], now: datetime) -> UsageReading:
    windows = dict(_windows(limits, now))
    event = RateLimitEvent(observed_at=now, status="read", windows=windows, raw=limits)
    return UsageReading(event=event, extra_usage=_extra_usage(limits.get("extra_usage"), now))


def _windows(limits: dict[str, Any], now: datetime) -> Iterator[tuple[str, Window]]:
    """Those whose meaning is known: one of an unknown name holds for nobody knows what."""
    for name, fields in limits.items():
        if name in {FIVE_HOUR, SEVEN_DAY} or models_of(name, None) is not None:
            yield from _window(name, fields, now)
    scoped = limits.get("model_scoped")
    for fields in scoped if isinstance(scoped, list) else []:
        label = fields.get("display_name") if isinstance(fields, dict) else None
        family = family_of(label.lower()) if isinstance(label, str) else None
        if family is not None:
            yield from _window(window_of_family(family), fields, now)


def _window(name: str, fields: Any, now: datetime) -> Iterator[tuple[str, Window]]:
    if not isinstance(fields, dict):
        return
    percent, resets_at = _number(fields.get("utilization")), _instant(fields.get("resets_at"))
    if percent is None:  # it was not begun, or nothing is known
        return
    yield (
        name,
        Window(
            status="allowed",
            observed_at=now,
            utilization=percent / 100,
            resets_at=resets_at,
            models=models_of(name, None),
            source="get_usage",
        ),
    )


def _extra_usage(fields: Any, now: datetime) -> ExtraUsage | None:
    if not isinstance(fields, dict):
        return None
    percent, currency = _number(fields.get("utilization")), fields.get("currency")
    return ExtraUsage(
        is_enabled=fields.get("is_enabled") is True,
        monthly_limit=_number(fields.get("monthly_limit")),
        used_credits=_number(fields.get("used_credits")),
        utilization=None if percent is None else percent / 100,
        currency=currency if isinstance(currency, str) else None,
        observed_at=now,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _instant(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
