"""Thresholds of alerts: one alert each time one is crossed, however often it is looked at.

What was alerted already is a value, the levels, kept with the alerts in one transaction. A level's
step grows by one when what it stands for begins and by one when it is over, so an odd step is up,
and the number of the step is in the alert's id. A percentage is over once it has fallen below its
threshold by the hysteresis; a condition, once it has been gone for the quiet time. In between
nothing moves.

Reports come late and from several routers: one that is not newer than what moved a level does not
move it again. Where the answer is not known (a window that nobody saw for long, an account that
was to be mended and that nobody has tried since), a level stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pool.alerts.alerts import POOL, Alert, AlertKind, AlertSettings, Data, happened
from pool.executions.outcome import FailureKind
from pool.subscriptions.consequences.standing import is_to_be_mended
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report, SubscriptionState, WindowReport
from pool.values import Instant, Value, instant_text


class AlertState(Value):
    """The state of one signal of one subject: the highest threshold that it has crossed."""

    subject: str
    signal: str
    step: int = 0
    """Odd while it is up. Never falls."""
    seen_at: Instant
    """When what moved it last was observed."""
    calm_since: Instant | None = None
    """It is up, and what it stands for has been gone since."""

    @property
    def key(self) -> str:
        return f"{self.subject} {self.signal}"

    @property
    def is_up(self) -> bool:
        return self.step % 2 == 1


class _Sighting(NamedTuple):
    """What one report says about one signal."""

    subject: str
    signal: str
    topic: str
    """Of several signals of one topic that begin at once, the last one alerts."""
    stands: bool | None
    """Whether it holds; None where nothing can be said."""
    observed_at: datetime
    rest: timedelta
    """How long it has to be gone."""
    kind: AlertKind
    message: str
    data: Data


def threshold_alerts(
    levels: Iterable[AlertState],
    reports: Sequence[Report],
    overview: Overview | None,
    settings: AlertSettings,
) -> tuple[tuple[AlertState, ...], tuple[Alert, ...]]:
    """The levels that changed, and the alerts of those that rose.

    ``overview`` is of all subscriptions, or None while some have sent no report.
    """
    known = {(level.subject, level.signal): level for level in levels}
    changed: list[AlertState] = []
    alerts: dict[tuple[str, str], Alert] = {}
    for sighting in _sightings(reports, overview, settings):
        before = known.get((sighting.subject, sighting.signal))
        after = _moved(before, sighting)
        if after is None or after == before:
            continue
        changed.append(after)
        if after.is_up and (before is None or not before.is_up):
            alerts[sighting.subject, sighting.topic] = _alert(sighting, after)
    return tuple(changed), tuple(alerts.values())


def _moved(level: AlertState | None, sighting: _Sighting) -> AlertState | None:
    """The level after a sighting; None where there is none yet and nothing to begin one."""
    at = sighting.observed_at
    if level is None:
        if not sighting.stands:
            return None
        return AlertState(subject=sighting.subject, signal=sighting.signal, step=1, seen_at=at)
    if at <= level.seen_at or sighting.stands is None:
        return level
    rises = sighting.stands and not level.is_up
    calm_since = None if sighting.stands or not level.is_up else level.calm_since or at
    falls = calm_since is not None and at - calm_since >= sighting.rest
    if rises or falls:
        return level.model_copy(update={"step": level.step + 1, "seen_at": at, "calm_since": None})
    if calm_since == level.calm_since:
        return level
    return level.model_copy(update={"seen_at": at, "calm_since": calm_since})


def _alert(sighting: _Sighting, level: AlertState) -> Alert:
    return happened(
        sighting.kind,
        sighting.subject,
        sighting.message,
        key=f"{level.signal} {level.step}",
        now=sighting.observed_at,
        data=sighting.data,
    )


def _sightings(
    reports: Sequence[Report], overview: Overview | None, settings: AlertSettings
) -> Iterator[_Sighting]:
    for report in reports:
        yield from _budget(report, settings)
        for name, window in report.windows.items():
            yield from _window(report, name, window, settings)
            yield _outside(report, name, window, settings)
        yield from _conditions(report, settings)
        yield from _login(report, settings)
    if overview is not None and overview.subscriptions:
        yield _dry(overview, settings)


# -- percentages ---------------------------------------------------------------------------------


def _budget(report: Report, settings: AlertSettings) -> Iterator[_Sighting]:
    weekly = report.weekly
    message = (
        f"{report.id} has used {weekly.percent:.1f}% of its weekly budget "
        f"({weekly.used_usd:.2f} of {weekly.budget_usd:.2f} USD)"
    )
    data: Data = {
        "used_usd": float(weekly.used_usd),
        "budget_usd": float(weekly.budget_usd),
        "source": "local",
    }
    yield from _gauge(report, "weekly_budget", weekly.percent, message, data, settings)


def _window(
    report: Report, name: str, window: WindowReport, settings: AlertSettings
) -> Iterator[_Sighting]:
    percent = _percent(window, report.observed_at)
    resets = "at a time that it did not say"
    if window.resets_at is not None:
        resets = f"at {instant_text(window.resets_at)}"
    message = (
        f"Anthropic reports {percent or 0:.1f}% of the {name} window of {report.id} as used; "
        f"it resets {resets}"
    )
    data: Data = {
        "window": name,
        "resets_at": None if window.resets_at is None else instant_text(window.resets_at),
        "seen_at": instant_text(window.observed_at),
        "source": "window",
    }
    yield from _gauge(report, f"window:{name}", percent, message, data, settings)


def _percent(window: WindowReport, now: datetime) -> float | None:
    """What is used of a window; nothing once it was reset; None where that is not known."""
    if window.resets_at is not None and window.resets_at <= now:
        return 0.0
    if not window.fresh or window.utilization is None:
        return None
    return window.utilization * 100


def _gauge(
    report: Report,
    topic: str,
    percent: float | None,
    message: str,
    data: Data,
    settings: AlertSettings,
) -> Iterator[_Sighting]:
    for threshold in sorted(settings.percent):
        yield _Sighting(
            subject=report.id,
            signal=f"{topic}:{threshold:g}",
            topic=topic,
            stands=_stands(percent, threshold, settings.hysteresis_points),
            observed_at=report.observed_at,
            rest=timedelta(0),
            kind=AlertKind.USAGE_THRESHOLD,
            message=message,
            data={"threshold_percent": threshold, "percent": percent, **data},
        )


def _stands(percent: float | None, threshold: float, hysteresis: float) -> bool | None:
    if percent is None:
        return None
    if percent >= threshold:
        return True
    return False if percent < threshold - hysteresis else None


def _outside(report: Report, name: str, window: WindowReport, settings: AlertSettings) -> _Sighting:
    """Usage outside the pool: of one life of a window, so its reset ends it."""
    forecast = report.forecast.windows.get(name)
    found = None if forecast is None else forecast.outside
    percent = None if found is None else found.percent
    if _percent(window, report.observed_at) == 0:
        percent = 0.0
    return _Sighting(
        subject=report.id,
        signal=f"outside:{name}",
        topic=f"outside:{name}",
        stands=_stands(percent, settings.outside_percent, settings.hysteresis_points),
        observed_at=report.observed_at,
        rest=timedelta(0),
        kind=AlertKind.USAGE_OUTSIDE_POOL,
        message=(
            f"at least {percent or 0:.1f}% of the {name} window of {report.id} were used "
            "outside the pool"
        ),
        data={
            "window": name,
            "percent": percent,
            "evidence": None if found is None else found.evidence,
            "since": None if found is None else instant_text(found.since),
        },
    )


# -- conditions ----------------------------------------------------------------------------------


def _is_limited(report: Report) -> bool:
    """Out of headroom by its own records, by a window, or by what Anthropic answered a run."""
    by_a_run = report.state is SubscriptionState.COOLDOWN and report.state_reason.startswith(
        f"{FailureKind.USAGE_LIMIT}:"
    )
    return by_a_run or report.state is SubscriptionState.LIMITED


def _conditions(report: Report, settings: AlertSettings) -> Iterator[_Sighting]:
    """The reasons of a state may quote the CLI: they are evidence, and stay out of messages."""
    limited = _is_limited(report)
    until = "" if report.state_until is None else f" until {instant_text(report.state_until)}"
    evidence: Data = {
        "state": report.state,
        "reason": report.state_reason,
        "until": None if report.state_until is None else instant_text(report.state_until),
    }
    unknown = (
        f"{report.uncertain} executions of {report.id} cost nobody knows how much; "
        f"{report.uncertain_usd:.2f} USD are held for them until their block is over"
    )
    otherwise = None if report.unproved and is_to_be_mended(report.unproved) else False
    doubt: Data = {"uncertain": report.uncertain, "uncertain_usd": float(report.uncertain_usd)}
    found = (
        (AlertKind.LIMIT_REACHED, limited, f"{report.id} has reached a limit{until}", evidence),
        (
            AlertKind.COOLDOWN,
            (report.state is SubscriptionState.COOLDOWN and not limited) or otherwise,
            f"{report.id} takes no work{until}, after failures",
            evidence,
        ),
        (
            AlertKind.NEEDS_LOGIN,
            report.state is SubscriptionState.NEEDS_LOGIN or otherwise,
            f"{report.id} has to sign in again",
            evidence,
        ),
        (AlertKind.UNCERTAIN_USAGE, report.uncertain_usd > 0, unknown, doubt),
    )
    for kind, stands, message, data in found:
        yield _condition(report.id, report.observed_at, kind, message, data, stands, settings)


def _login(report: Report, settings: AlertSettings) -> Iterator[_Sighting]:
    """The end of a login alerts some days before, and once it is there; a new login ends both."""
    ends_at = report.login_expires_at
    if ends_at is None:
        return
    kind, text = AlertKind.LOGIN_EXPIRES, instant_text(ends_at)
    soon = f"the login of {report.id} ends by {text}: sign in again before then"
    past = f"the login of {report.id} ended by {text}: sign in again"
    days = timedelta(days=settings.login_expires_days)
    for signal, ahead, message in (("soon", days, soon), ("past", timedelta(0), past)):
        yield _Sighting(
            subject=report.id,
            signal=f"{kind}:{signal}",
            topic=kind.value,
            stands=ends_at <= report.observed_at + ahead,
            observed_at=report.observed_at,
            rest=timedelta(0),
            kind=kind,
            message=message,
            data={"login_expires_at": text},
        )


def _condition(
    subject: str,
    observed_at: datetime,
    kind: AlertKind,
    message: str,
    data: Data,
    stands: bool | None,
    settings: AlertSettings,
) -> _Sighting:
    return _Sighting(
        subject=subject,
        signal=kind.value,
        topic=kind.value,
        stands=stands,
        observed_at=observed_at,
        rest=timedelta(minutes=settings.quiet_minutes),
        kind=kind,
        message=message,
        data=data,
    )


def _dry(overview: Overview, settings: AlertSettings) -> _Sighting:
    forecast, now = overview.forecast, overview.observed_at
    known = [each for each in (forecast.exhausted_at, forecast.dry_at) if each is not None]
    ends_at = min(known, default=None)
    soon = ends_at is not None and ends_at <= now + timedelta(hours=settings.pool_dry_hours)
    end = "" if ends_at is None else f"; at this rate it is dry at {instant_text(ends_at)}"
    message = (
        f"the pool has {forecast.weekly_headroom_usd:.2f} USD of weekly headroom left and spends "
        f"{forecast.burn_rate_usd_per_hour:.2f} USD an hour{end}"
    )
    data: Data = {
        "weekly_headroom_usd": float(forecast.weekly_headroom_usd),
        "burn_rate_usd_per_hour": float(forecast.burn_rate_usd_per_hour),
        "exhausted_at": None if ends_at is None else instant_text(ends_at),
    }
    stands = soon or forecast.weekly_headroom_usd <= 0
    kind = AlertKind.POOL_NEARLY_DRY
    return _condition(POOL, now, kind, message, data, stands, settings)
