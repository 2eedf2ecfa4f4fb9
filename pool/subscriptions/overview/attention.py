"""Notices of what needs attention in a pool: each says which subscription it is about, what is so,
and what to do about it. What can be said of several subscriptions is said once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from pool.subscriptions.report import Report, SubscriptionState
from pool.values import Value

OUTSIDE_PERCENT = 10
"""The share of a window from which use outside the pool is worth a look."""
_EXPIRES_SOON = timedelta(days=7)
_MOST_OF_A_KIND = 2


class NoticeKind(StrEnum):
    """In the order of their urgency."""

    NEEDS_LOGIN = "needs_login"
    UNHEARD = "unheard"
    LOGIN_EXPIRES = "login_expires"
    UNCERTAIN_USAGE = "uncertain_usage"
    OUTSIDE_USAGE = "outside_usage"
    QUEUE_STUCK = "queue_stuck"
    QUEUE_FULL = "queue_full"


class Notice(Value):
    """Something to look at. ``text`` and ``advice`` are sentences; ``text`` goes on from the
    subjects.
    """

    kind: NoticeKind
    severity: Literal["critical", "warning"]
    subjects: tuple[str, ...]
    """Ids of subscriptions."""
    text: str
    advice: str


_OF_SEVERAL: dict[NoticeKind, tuple[str, str]] = {
    NoticeKind.NEEDS_LOGIN: (
        "need a login.",
        "Sign in on the pool's machine; it is noticed there.",
    ),
    NoticeKind.UNHEARD: (
        "have not come up.",
        "Their figures may be missing in the sums; see the log.",
    ),
    NoticeKind.LOGIN_EXPIRES: (
        "have logins that expire within a week.",
        "Sign in again before runs fail.",
    ),
    NoticeKind.UNCERTAIN_USAGE: (
        "have executions of unknown cost.",
        "Money is held for them until their block ends.",
    ),
    NoticeKind.OUTSIDE_USAGE: (
        "are used outside the pool.",
        "Their windows fill faster than the pool's own runs explain.",
    ),
    NoticeKind.QUEUE_STUCK: (
        "have work waiting beside free slots.",
        "It may wait for its sessions; if this stays, see the log.",
    ),
    NoticeKind.QUEUE_FULL: (
        "have a full queue.",
        "New work goes elsewhere or is refused.",
    ),
}
_CRITICAL = {NoticeKind.NEEDS_LOGIN, NoticeKind.UNHEARD}


class _Found(NamedTuple):
    kind: NoticeKind
    subject: str
    text: str
    advice: str | None = None


def notices(reports: Sequence[Report], unheard: Sequence[str], now: datetime) -> tuple[Notice, ...]:
    """All of a pool's notices, the most urgent first."""
    known = {each.id: f"It is {each.state_reason}." for each in reports}
    text = "has not come up."
    found = [_Found(NoticeKind.UNHEARD, each, text, known.get(each)) for each in unheard]
    found += [each for report in reports for each in _of_one(report, now)]
    return tuple(
        notice
        for kind in NoticeKind
        for notice in _together(kind, [each for each in found if each.kind is kind])
    )


def _together(kind: NoticeKind, found: Sequence[_Found]) -> Iterator[Notice]:
    text, advice = _OF_SEVERAL[kind]
    severity: Literal["critical", "warning"] = "critical" if kind in _CRITICAL else "warning"
    if len(found) > _MOST_OF_A_KIND:
        subjects = tuple(each.subject for each in found)
        yield Notice(kind=kind, severity=severity, subjects=subjects, text=text, advice=advice)
        return
    for each in found:
        yield Notice(
            kind=kind,
            severity=severity,
            subjects=(each.subject,),
            text=each.text,
            advice=each.advice or advice,
        )


def _of_one(report: Report, now: datetime) -> Iterator[_Found]:
    needs_login = report.state is SubscriptionState.NEEDS_LOGIN
    if needs_login:
        yield _Found(NoticeKind.NEEDS_LOGIN, report.id, "needs a login.")
    ends = report.login_expires_at
    if ends is not None and not needs_login and ends - now < _EXPIRES_SOON:
        when = f"expires in {_span(ends - now)}." if ends > now else "has expired."
        yield _Found(NoticeKind.LOGIN_EXPIRES, report.id, f"has a login that {when}")
    if report.uncertain:
        executions = "execution" if report.uncertain == 1 else "executions"
        yield _Found(
            NoticeKind.UNCERTAIN_USAGE,
            report.id,
            f"has {report.uncertain} {executions} of unknown cost.",
            f"${report.uncertain_usd:.2f} held until the block ends, "
            f"in {_span(report.current_block.ends_at - now)}.",
        )
    yield from _outside(report)
    yield from _queue(report)


def _outside(report: Report) -> Iterator[_Found]:
    for name, window in report.forecast.windows.items():
        if window.outside is not None and window.outside.percent >= OUTSIDE_PERCENT:
            used = f"at least {window.outside.percent:.0f}% of its {name} window"
            yield _Found(
                NoticeKind.OUTSIDE_USAGE,
                report.id,
                f"was used outside the pool: {used}.",
                f"It {window.outside.evidence}.",
            )


def _queue(report: Report) -> Iterator[_Found]:
    if not report.queued:
        return
    if report.queued >= report.max_queued:
        yield _Found(NoticeKind.QUEUE_FULL, report.id, "has a full queue.")
    elif report.running < report.capacity and report.state is not SubscriptionState.PAUSED:
        executions = "execution" if report.queued == 1 else "executions"
        text = f"has {report.queued} {executions} waiting beside free slots."
        yield _Found(NoticeKind.QUEUE_STUCK, report.id, text)


def _span(left: timedelta) -> str:
    hours = max(left, timedelta(0)) / timedelta(hours=1)
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
