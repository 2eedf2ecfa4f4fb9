"""What a dead account answers, and whose fault a refusal is; and how such cases are told.

A dead account attracts nothing; an odd request takes nobody down. What models and limits are
refused for stands in ``model_cases.py`` and ``limit_cases.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from tests.support.clis.scripted_cli import OK, SONNET, Prints, failed, init, limit, ok, prints
from tests.support.field.field_cases import Case, Comes, alone, beside, ends_in
from tests.support.values.examples import NOON

OPUS = "claude-opus-4-5"
FABLE = "claude-fable-5"
LONG = f"{SONNET}[1m]"
REQUEST: Mapping[str, Any] = {}
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ANSWERED = ("sub2", "completed")
COOLDOWN = {"sub1": "cooldown"}
SUB1_FIRST = {"sub2": {"tier": 2}}
"""It is probed as soon as it may be."""


def refused(text: str, status: int = 400, type_: str = "invalid_request_error") -> Prints:
    return failed(status, type_, text)


def among(*runs: Prints) -> dict[str, Sequence[Prints]]:
    """Subscriptions that always answer the same."""
    return {f"sub{number}": (each,) for number, each in enumerate(runs, 1)}


def resets(after: timedelta) -> float:
    return (NOON + after).timestamp()


def hit(type_: str, after: timedelta, *, model: str = SONNET) -> Prints:
    """A limit of this name that is used up."""
    told = limit("rejected", type_, resetsAt=resets(after))
    return prints(init(model), told, *failed(429, "rate_limit_error", "limit").lines[1:], exit=1)


def saw(type_: str, utilization: float | None, after: timedelta = 3 * HOUR) -> Prints:
    """An answer, and a window with it that is open."""
    told = {} if utilization is None else {"utilization": utilization}
    return prints(init(), limit("allowed", type_, resetsAt=resets(after), **told), ok())


def goes_on(kind: str, **comes: Any) -> Comes:
    """The next subscription answers; the first one rests."""
    known: dict[str, Any] = {
        "attempts": (("sub1", kind), ANSWERED),
        "states": COOLDOWN,
        "alerts": ("cooldown", "failover"),
    }
    return Comes(**{**known, **comes})


def turned_away(
    http: int, kind: str, *, after: timedelta | None, dialects: int, messages_error: str, **how: Any
) -> Comes:
    """Nobody answers, at no cost. What ran is told to who reads along."""
    return Comes(
        result=None,
        status="failed",
        error=kind,
        http=http,
        retry_after=after,
        dialects=dialects,
        messages_error=messages_error,
        **{"cost": "0", **how},
    )


def no_headroom(kind: str, after: timedelta, **how: Any) -> Comes:
    api = {"dialects": 429, "messages_error": "rate_limit_error"}
    return turned_away(429, kind, after=after, **api, **how)


def unusable(kind: str, **how: Any) -> Comes:
    api = {"dialects": 529, "messages_error": "overloaded_error"}
    return turned_away(503, kind, after=timedelta(seconds=30), **api, **how)


def the_callers(kind: str = "invalid_request", dialects: int = 400, **how: Any) -> Comes:
    told = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"}
    return ends_in(kind, dialects=dialects, messages_error=told[dialects], cost="0", **how)


# -- a dead account ------------------------------------------------------------------------------

DISABLED = refused("This organization has been disabled.")
UNHEARD_OF = refused("Your subscription is asleep.")
"""The account's fault, in words that nobody knows."""
SPENT = (
    "You have reached your specified API usage limits. You will regain access on "
    "2026-01-28 at 15:00 UTC."
)
"""Three hours after the beginning."""
FORBIDDEN = refused("Forbidden.", 403, "permission_error")

_ELSEWHERE = (
    ("a disabled organization", "account_disabled", "This organization has been disabled."),
    (
        "a disabled organization, as the API says it",
        "account_disabled",
        (
            'API Error: 400 {"type":"error","error":{"type":"invalid_request_error",'
            '"message":"This organization has been disabled."}}'
        ),
    ),
    ("a suspended account", "account_disabled", "Your account has been suspended."),
    ("a limit of money", "spend_limit", SPENT),
    (
        "a limit of a workspace",
        "spend_limit",
        "You have reached your specified workspace API usage limits.",
    ),
    (
        "a monthly limit",
        "spend_limit",
        "You've hit your monthly spend limit.",
        429,
        "rate_limit_error",
    ),
    ("a limit, by a billing error", "spend_limit", "Over the cap.", 402, "billing_error"),
    (
        "a credit balance",
        "credit_exhausted",
        "Your credit balance is too low to access the Anthropic API.",
    ),
    ("a bill", "credit_exhausted", "Payment required.", 402, "billing_error"),
    ("what nobody knows", "invalid_request", "Your subscription is asleep."),
    (
        "a login that is not allowed",
        "access_denied",
        "OAuth authentication is currently not allowed for this organization.",
        403,
        "permission_error",
    ),
    ("a bare 403", "access_denied", "Forbidden.", 403, "permission_error"),
)
_REFUSING = (
    ("a disabled organization", DISABLED),
    ("a limit of money", refused(SPENT)),
    ("one that refuses in unknown words", UNHEARD_OF),
    ("a bare 403", FORBIDDEN),
)

DEAD: tuple[Case, ...] = (
    *(
        Case(f"{told} goes on elsewhere", beside(refused(text, *how)), goes_on(kind))
        for told, kind, text, *how in _ELSEWHERE
    ),
    *(
        Case(
            f"{told} takes no request with it",
            beside(run),
            goes_on("", attempts=(ANSWERED,), asked=("sub1", *["sub2"] * 5), cost="0.003"),
            before=(REQUEST,) * 4,
        )
        for told, run in _REFUSING
    ),
    Case(
        "one that has to sign in takes no request with it",
        beside(refused("OAuth token has expired.", 401, "authentication_error")),
        goes_on(
            "",
            attempts=(ANSWERED,),
            asked=("sub1", "sub2", "sub2"),
            states={"sub1": "needs_login"},
            alerts=("failover", "needs_login"),
            cost="0.0012",
        ),
        before=(REQUEST,),
    ),
    Case(
        "a disabled organization is probed, and rests for longer",
        beside(DISABLED),
        goes_on(
            "",
            attempts=(ANSWERED,),
            asked=("sub1", "sub2", "sub1", "sub2", "sub2"),
            alerts=("cooldown", "failover", "failover"),
            cost="0.0018",
        ),
        before=(REQUEST, 15 * MINUTE, REQUEST, 29 * MINUTE),
        each=SUB1_FIRST,
    ),
    Case(
        "a disabled organization that was let in again",
        {"sub1": (DISABLED, OK), "sub2": (OK,)},
        Comes(asked=("sub1", "sub2", "sub1"), alerts=("cooldown", "failover"), cost="0.0012"),
        before=(REQUEST, 15 * MINUTE),
        each=SUB1_FIRST,
    ),
    Case(
        "a 403 that stays is told once, however rarely it is asked",
        beside(FORBIDDEN),
        goes_on(
            "access_denied",
            alerts=("cooldown", *["failover"] * 3),
            asked=("sub1", "sub2") * 3,
            cost="0.0018",
        ),
        before=(REQUEST, 20 * MINUTE, REQUEST, 40 * MINUTE),
        each=SUB1_FIRST,
    ),
    Case(
        "two that refuse everything in unknown words, beside a third",
        among(UNHEARD_OF, UNHEARD_OF, OK),
        Comes(
            attempts=(("sub3", "completed"),),
            asked=("sub1", "sub2", "sub3", "sub1", "sub2", "sub3", "sub3"),
            states={"sub1": "cooldown", "sub2": "cooldown"},
            alerts=("cooldown", "cooldown", "failover", "failover"),
            cost="0.0018",
        ),
        before=(REQUEST,) * 3,
    ),
    Case(
        "what two refuse alike is the caller's, and nobody is blamed",
        among(UNHEARD_OF, UNHEARD_OF),
        the_callers(
            attempts=(("sub1", "invalid_request"), ("sub2", "invalid_request")),
            alerts=("failover",),
        ),
    ),
    Case("what the only one refuses is the caller's", alone(UNHEARD_OF), the_callers()),
    *(
        Case(
            f"{told} is the caller's at once, however often",
            among(refused(text), refused(text)),
            the_callers(asked=("sub1", "sub2", "sub1")),
            before=(REQUEST,) * 2,
        )
        for told, text in (
            ("a field", "messages.0.content.1: Input should be a valid dictionary"),
            ("a field that quotes", "metadata.user_id: This organization has been disabled."),
            ("a parameter", "`temperature` may only be set to 1"),
            ("a picture", "Could not process image"),
        )
    ),
    Case(
        "a disabled organization alone",
        alone(DISABLED),
        unusable(
            "account_disabled",
            attempts=(("sub1", "account_disabled"),),
            states=COOLDOWN,
            alerts=("cooldown",),
        ),
    ),
    Case(
        "a limit of money alone",
        alone(refused(SPENT)),
        no_headroom("spend_limit", 3 * HOUR, states=COOLDOWN, alerts=("cooldown",)),
    ),
    Case(
        "a limit of money that has lifted",
        {"sub1": (refused(SPENT), OK)},
        Comes(alerts=("cooldown",)),
        before=(REQUEST, 3 * HOUR),
    ),
    Case(
        "a limit of money that says it has lifted, and has not",
        alone(refused(SPENT)),
        no_headroom("spend_limit", 30 * MINUTE, states=COOLDOWN, alerts=("cooldown",)),
        before=(REQUEST, 3 * HOUR),
    ),
)
