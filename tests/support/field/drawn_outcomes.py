"""Ways in which a run can end, to be drawn from: what each prints, and what may come of it.

What may come of it is said here anew, from what the outcome means and not from the rules: whether
the request was answered, was to be answered elsewhere, or ended with it; what it cost; and for how
long at the most it may keep its subscription, or a model there, from other requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from tests.support.clis.scripted_cli import Prints, error, failed, init, limit, ok, prints

PAID = Decimal("0.0006")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NO_TIME = timedelta(0)
LONGEST_PAUSE = 6 * HOUR
LONGEST_MODEL_PAUSE = 24 * HOUR


class Then(Enum):
    """What has to become of a request whose run has ended so."""

    ANSWERED = "answered"
    ELSEWHERE = "elsewhere"
    UNSURE = "unsure"
    """Nobody can tell whose fault it is: elsewhere once."""
    OVER = "over"
    """It is the caller's, or may have been billed unseen."""


@dataclass(frozen=True)
class Drawn:
    name: str
    then: Then
    prints: Callable[[datetime, str], Prints]
    """At an instant, for a model."""
    costs: Decimal = Decimal(0)
    rests: timedelta = NO_TIME
    """How long at the most the subscription may take no work for it."""
    model_rests: timedelta = NO_TIME
    """The same of the model that was asked for."""


def _always(run: Prints) -> Callable[[datetime, str], Prints]:
    return lambda _, __: run


def _refused(
    name: str, status: int, type_: str, text: str, then: Then, **rests: timedelta
) -> Drawn:
    return Drawn(name, then, _always(failed(status, type_, text)), **rests)


def _hit(type_: str, after: timedelta) -> Callable[[datetime, str], Prints]:
    def run(now: datetime, model: str) -> Prints:
        told = limit("rejected", type_, resetsAt=(now + after).timestamp())
        refusal = error(429, "rate_limit_error", "limit", api_error="usage_limit_reached")
        return prints(init(model), told, refusal, exit=1)

    return run


def _regained_in_three_hours(now: datetime, _: str) -> Prints:
    on = f"{now + 3 * HOUR:%Y-%m-%d at %H:%M} UTC"
    text = f"You have reached your specified API usage limits. You will regain access on {on}."
    return failed(400, "invalid_request_error", text)


_BAD = "invalid_request_error"
_LATE = error(None, None, "", subtype="error_during_execution", num_turns=0, errors=["late"])
_SPENT = {"total_cost_usd": float(PAID), "model_usage_since_last_result": ok()["modelUsage"]}


def _answer(name: str, *after: dict[str, Any], **end: Any) -> Drawn:
    return Drawn(name, Then.ANSWERED, _always(prints(init(), ok(), *after, **end)), PAID)


ANSWER = _answer("an answer")
OUTCOMES = (
    ANSWER,
    _answer("exit 1 after it", exit=1),
    _answer("an error after it", _LATE, exit=1),
    _answer("killed after it", kills_itself="KILL"),
    Drawn("five hours used up", Then.ELSEWHERE, _hit("five_hour", 2 * HOUR), rests=2 * HOUR),
    Drawn("a week used up", Then.ELSEWHERE, _hit("seven_day", 30 * HOUR), rests=LONGEST_PAUSE),
    Drawn("an unknown limit", Then.ELSEWHERE, _hit("seven_day_new", HOUR), model_rests=HOUR),
    Drawn("money used up", Then.ELSEWHERE, _regained_in_three_hours, rests=LONGEST_PAUSE),
    Drawn(
        "an overload that was billed",
        Then.ELSEWHERE,
        _always(failed(529, "overloaded_error", "overloaded", **_SPENT)),
        PAID,
        rests=MINUTE,
    ),
    *(
        _refused(name, status, type_, name, Then.ELSEWHERE, rests=rests)
        for name, status, type_, rests in (
            ("a burst", 429, "rate_limit_error", 5 * MINUTE),
            ("overloaded", 529, "overloaded_error", MINUTE),
            ("broken", 500, "api_error", MINUTE),
            ("signed out", 401, "authentication_error", 5 * MINUTE),
            ("forbidden", 403, "permission_error", LONGEST_PAUSE),
            ("unpaid", 402, "billing_error", LONGEST_PAUSE),
            ("your organization has been disabled", 400, _BAD, LONGEST_PAUSE),
        )
    ),
    _refused("asleep", 400, _BAD, "asleep", Then.UNSURE, rests=HOUR),
    _refused("a field is wrong", 400, _BAD, "messages.0: wrong", Then.OVER),
    _refused("too long", 400, _BAD, "prompt is too long: 3 > 2", Then.OVER),
    _refused(
        "no such model",
        404,
        "not_found_error",
        "model: x",
        Then.ELSEWHERE,
        model_rests=LONGEST_MODEL_PAUSE,
    ),
    _refused(
        "no long context",
        429,
        "rate_limit_error",
        "Extra usage is required for long context requests.",
        Then.ELSEWHERE,
        model_rests=LONGEST_MODEL_PAUSE,
    ),
    Drawn("not started", Then.ELSEWHERE, _always(Prints((), never="no room")), rests=5 * MINUTE),
    Drawn(
        "cannot start up",
        Then.ELSEWHERE,
        _always(Prints((), exit=1, stderr="EACCES: permission denied")),
        rests=HOUR,
    ),
    Drawn("no such option", Then.UNSURE, _always(Prints((), exit=1, stderr="what?")), rests=HOUR),
    Drawn("crashed at once", Then.UNSURE, _always(Prints((), exit=1)), rests=HOUR),
    Drawn("killed at once", Then.UNSURE, _always(Prints((), kills_itself="KILL")), rests=HOUR),
    Drawn("crashed", Then.OVER, _always(prints(init(), exit=1)), rests=5 * MINUTE),
    Drawn("nothing, and billed", Then.OVER, _always(prints(init(), ok(""))), PAID),
)
