"""A subscription's limits as Anthropic enforces them: windows that start at first use, fill with
what is billed, and reopen by the clock alone.

Everything here is pure: a `Meter` is a value, every step takes `now` and returns the next one. The
header names are those that CLI 2.1.330 reads; values have the form of public captures of real
answers (fractions, epoch seconds, `allowed_warning` from a surpassed threshold on). Not known from
captures, and chosen here: a window that overage pays for still says `allowed`, as in the captured
runs. Unlike Anthropic's, the seven-day window starts at first use too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

WindowName = Literal["five_hour", "seven_day", "seven_day_opus", "seven_day_sonnet"]
Status = Literal["allowed", "allowed_warning", "rejected"]

_PREFIX = "anthropic-ratelimit-unified"
# Only these two have headers of their own; a model's week shows in the representative claim alone.
_SHORT: dict[WindowName, str] = {"five_hour": "5h", "seven_day": "7d"}
_FAMILY: dict[WindowName, str] = {
    "seven_day_opus": "claude-opus-",
    "seven_day_sonnet": "claude-sonnet-",
}
_FIVE_HOURS = 5 * 3600.0
_SEVEN_DAYS = 7 * 24 * 3600.0


class Allowance(BaseModel):
    """How much a window allows and for how long; `used_nano_usd` was used elsewhere before, so the
    window runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quota_nano_usd: PositiveInt | None = None
    length_seconds: PositiveFloat
    used_nano_usd: NonNegativeInt = 0


class Quota(BaseModel):
    """The limits of one account; unlimited unless said otherwise. With overage allowed nothing is
    ever refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    five_hour: Allowance = Allowance(length_seconds=_FIVE_HOURS)
    seven_day: Allowance = Allowance(length_seconds=_SEVEN_DAYS)
    seven_day_opus: Allowance | None = None
    seven_day_sonnet: Allowance | None = None
    overage: Literal["allowed", "rejected"] = "rejected"
    warn_from: float = Field(default=0.9, gt=0, le=1)

    def allowances(self) -> tuple[tuple[WindowName, Allowance], ...]:
        """The windows this quota has, the general ones first."""
        found: tuple[tuple[WindowName, Allowance | None], ...] = (
            ("five_hour", self.five_hour),
            ("seven_day", self.seven_day),
            ("seven_day_opus", self.seven_day_opus),
            ("seven_day_sonnet", self.seven_day_sonnet),
        )
        return tuple((name, allowance) for name, allowance in found if allowance is not None)


def five_hour_quota(
    quota_nano_usd: int, *, length_seconds: float = _FIVE_HOURS, used_nano_usd: int = 0
) -> Quota:
    """A quota whose only limit is the five-hour window."""
    allowance = Allowance(
        quota_nano_usd=quota_nano_usd, length_seconds=length_seconds, used_nano_usd=used_nano_usd
    )
    return Quota(five_hour=allowance)


@dataclass(frozen=True)
class Window:
    """One window of an account. `starts_at` is None until something is charged to it."""

    name: WindowName
    allowance: Allowance
    starts_at: datetime | None
    used_nano_usd: int

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.utilization >= 1

    @property
    def utilization(self) -> float:
        """The used fraction, 0 when unlimited; above 1 when the last answer cost more than was
        left.
        """
        quota = self.allowance.quota_nano_usd
        return 0.0 if quota is None else self.used_nano_usd / quota

    def counts(self, model: str) -> bool:
        """Whether requests for `model` draw on this window."""
        return model.startswith(_FAMILY.get(self.name, ""))

    def at(self, now: datetime) -> Window:
        """Give the window as it is at `now`: fresh once its length has passed."""
        if self.starts_at is not None and now >= self.resets_at(now):
            return replace(self, starts_at=None, used_nano_usd=0)
        return self

    def resets_at(self, now: datetime) -> datetime:
        """When it reopens; for a window not yet started, when it would if it started `now`."""
        return (self.starts_at or now) + timedelta(seconds=self.allowance.length_seconds)


@dataclass(frozen=True)
class Meter:
    """What one account has used of its quota."""

    quota: Quota
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, quota: Quota, now: datetime) -> Meter:
        """A meter that starts with what the quota says was used elsewhere."""
        return cls(
            quota,
            tuple(
                Window(
                    name,
                    allowance,
                    now if allowance.used_nano_usd else None,
                    allowance.used_nano_usd,
                )
                for name, allowance in quota.allowances()
            ),
        )

    def at(self, now: datetime) -> Meter:
        """Give the meter at `now`, with the windows that have passed reopened."""
        return replace(self, windows=tuple(window.at(now) for window in self.windows))

    def charge(self, model: str, cost: int, now: datetime) -> Meter:
        """Draw `cost` nano-dollars from the windows that count for `model`, starting those that
        have not begun.
        """
        return replace(
            self,
            windows=tuple(
                replace(
                    window,
                    starts_at=window.starts_at or now,
                    used_nano_usd=window.used_nano_usd + cost,
                )
                if window.counts(model)
                else window
                for window in self.at(now).windows
            ),
        )

    def refund(self, model: str, cost: int, charged_at: datetime) -> Meter:
        """Give back what an answer that was cut did not use, unless its window has passed since."""
        return replace(
            self,
            windows=tuple(
                replace(window, used_nano_usd=max(0, window.used_nano_usd - cost))
                if window.counts(model)
                and window.starts_at is not None
                and window.starts_at <= charged_at
                else window
                for window in self.windows
            ),
        )

    def exhausted(self, model: str, now: datetime) -> Window | None:
        """The spent window that reopens last among those that count for `model`; None while all
        have room.
        """
        spent = [
            window for window in self.at(now).windows if window.exhausted and window.counts(model)
        ]
        return max(spent, key=lambda window: window.resets_at(now), default=None)

    def refuses(self, model: str, now: datetime) -> Window | None:
        """The window for which a request for `model` is refused at `now`; None when it may run."""
        return None if self.quota.overage == "allowed" else self.exhausted(model, now)


def epoch_seconds(moment: datetime) -> str:
    """Whole seconds, rounded up: a client that waits until then never comes too early."""
    return str(math.ceil(moment.timestamp()))


def allowed_headers(meter: Meter, model: str, cost: int, now: datetime) -> dict[str, str]:
    """The headers of an answer to `model` that costs `cost` and was admitted at `now`; utilization
    includes it.
    """
    charged = meter.charge(model, cost, now)
    overage = meter.exhausted(model, now)
    warning = next(
        (w for w in charged.windows if w.counts(model) and _warns(w, charged.quota)), None
    )
    claim = overage or warning or charged.windows[0]
    status: Status = "rejected" if overage else "allowed_warning" if warning else "allowed"
    headers = _headers(charged, status, claim, now)
    for window in _shown(charged.windows):
        short = f"{_PREFIX}-{_SHORT[window.name]}"
        warns = not window.exhausted and _warns(window, charged.quota)
        last = window.exhausted and overage is None
        headers[f"{short}-status"] = "allowed_warning" if warns or last else "allowed"
        if warns or last:
            headers[f"{short}-surpassed-threshold"] = str(charged.quota.warn_from)
    if overage:
        headers[f"{_PREFIX}-overage-in-use"] = "true"
    return headers


def rejected_headers(meter: Meter, claim: Window, now: datetime) -> dict[str, str]:
    """The headers of the 429 that says `claim` is used up."""
    current = meter.at(now)
    headers = _headers(current, "rejected", claim, now)
    for window in _shown(current.windows):
        status: Status = "rejected" if window.exhausted else "allowed"
        headers[f"{_PREFIX}-{_SHORT[window.name]}-status"] = status
    wait = (claim.resets_at(now) - now).total_seconds()
    headers["retry-after"] = str(max(1, math.ceil(wait)))
    headers["x-should-retry"] = "false"
    return headers


def spent(name: WindowName, resets_in_seconds: float, now: datetime) -> tuple[Meter, Window]:
    """A meter whose window `name` is used up and reopens in `resets_in_seconds`, for a scripted
    refusal.
    """
    allowance = Allowance(quota_nano_usd=1, length_seconds=resets_in_seconds, used_nano_usd=1)
    quota = Quota.model_validate({name: allowance})
    meter = Meter.of(quota, now)
    return meter, next(window for window in meter.windows if window.name == name)


def utc_now() -> datetime:
    """The clock, where none is given."""
    return datetime.now(UTC)


def _warns(window: Window, quota: Quota) -> bool:
    return window.utilization >= quota.warn_from


def _shown(windows: Iterable[Window]) -> tuple[Window, ...]:
    return tuple(window for window in windows if window.name in _SHORT)


def _headers(meter: Meter, status: Status, claim: Window, now: datetime) -> dict[str, str]:
    headers = {
        f"{_PREFIX}-status": status,
        f"{_PREFIX}-representative-claim": claim.name,
        f"{_PREFIX}-reset": epoch_seconds(claim.resets_at(now)),
        f"{_PREFIX}-fallback-percentage": "0.5",
        f"{_PREFIX}-overage-status": meter.quota.overage,
    }
    if meter.quota.overage == "rejected":
        headers[f"{_PREFIX}-overage-disabled-reason"] = "org_level_disabled"
    for window in _shown(meter.windows):
        short = f"{_PREFIX}-{_SHORT[window.name]}"
        headers[f"{short}-utilization"] = f"{math.floor(window.utilization * 10_000) / 10_000:g}"
        headers[f"{short}-reset"] = epoch_seconds(window.resets_at(now))
    return headers
