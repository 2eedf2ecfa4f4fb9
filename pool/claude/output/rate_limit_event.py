"""Reading a ``rate_limit_event``, leniently: every CLI release so far has changed its fields."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from pool.limits.windows import IN_USE, OVERAGE, REJECTED, RateLimitEvent, Window, models_of


def rate_limit_event(
    message: dict[str, Any], now: datetime, model: str | None = None
) -> RateLimitEvent | None:
    """What a message says about Anthropic's limits, observed at ``now`` by a run of ``model``; None
    if nothing.
    """
    info = message.get("rate_limit_info")
    if not isinstance(info, dict):
        return None
    kind = info.get("rateLimitType")
    return RateLimitEvent(
        observed_at=now,
        status=_status(info),
        type=kind if isinstance(kind, str) else None,
        models=models_of(kind, model) if isinstance(kind, str) else None,
        resets_at=_instant(info.get("resetsAt")),
        is_using_overage=info.get("isUsingOverage") is True,
        windows=_windows(info, now, model),
        raw=info,
    )


def _windows(info: dict[str, Any], now: datetime, model: str | None) -> dict[str, Window]:
    # `unifiedWindows` names two windows; a limit of one model shows in the event's own fields only.
    windows: dict[str, Window] = {}
    kind = info.get("rateLimitType")
    if isinstance(kind, str):
        windows[kind] = _window(info, now, models_of(kind, model))
    if isinstance(info.get("isUsingOverage"), bool):
        in_use = info["isUsingOverage"]
        windows[OVERAGE] = Window(
            status=IN_USE if in_use else "unused",
            observed_at=now,
            resets_at=_instant(info.get("resetsAt")) if in_use else None,
        )
    unified = info.get("unifiedWindows")
    for name, window in (unified if isinstance(unified, dict) else {}).items():
        if isinstance(window, dict):
            windows[str(name)] = _in_force(_window(window, now, models_of(str(name), model)), info)
    return windows


def _in_force(window: Window, info: dict[str, Any]) -> Window:
    """A window that is used up refuses nothing while the event as a whole does not: by the CLI's
    own schema "the top-level status says whether requests are refused".
    """
    if window.status != REJECTED or _status(info) == REJECTED:
        return window
    return window.model_copy(update={"status": _status(info)})


def _window(fields: dict[str, Any], now: datetime, models: str | None) -> Window:
    return Window(
        status=_status(fields),
        models=models,
        observed_at=now,
        utilization=_share(fields.get("utilization")),
        resets_at=_instant(fields.get("resetsAt")),
    )


def _status(fields: dict[str, Any]) -> str:
    status = fields.get("status")
    return status if isinstance(status, str) else "unknown"


def _share(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _instant(value: Any) -> datetime | None:
    """Epoch seconds as a time."""
    seconds = _share(value)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
