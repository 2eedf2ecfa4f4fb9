"""Limits and money: what a limit holds for and how long, and who is asked before whom."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.clis.scripted_cli import OK, SONNET, Prints, failed, init, limit, prints
from tests.support.field.account_cases import (
    ANSWERED,
    COOLDOWN,
    DISABLED,
    FABLE,
    FORBIDDEN,
    HOUR,
    MINUTE,
    OPUS,
    REQUEST,
    among,
    goes_on,
    hit,
    no_headroom,
    resets,
    saw,
    unusable,
)
from tests.support.field.field_cases import Case, Comes, alone

FABLES = "seven_day_overage_included"
UNHEARD_OF_LIMIT = "seven_day_nightly"


def limited(type_: str, *, met_by: str) -> dict[str, Sequence[Prints]]:
    """The first one meets a limit, and would answer whatever comes after."""
    return {"sub1": (hit(type_, 5 * HOUR, model=met_by), OK), "sub2": (OK,)}


OF_SOME_MODELS = (
    ("the weekly limit of Fable", FABLES, FABLE, SONNET),
    ("the weekly limit of Opus", "seven_day_opus", OPUS, SONNET),
    ("a limit of an unknown name", UNHEARD_OF_LIMIT, SONNET, OPUS),
    ("an unknown one of five hours", "five_hour_dreams", OPUS, SONNET),
)

LIMITS: tuple[Case, ...] = (
    *(
        Case(
            f"{told} goes on elsewhere, and is nobody else's",
            limited(type_, met_by=model),
            Comes(asked=("sub1", "sub2", "sub2", "sub1"), alerts=("failover",), cost="0.0018"),
            before=({"model": model}, {"model": model}),
            request={"model": other},
        )
        for told, type_, model, other in OF_SOME_MODELS
    ),
    *(
        Case(
            f"{told} is over with its reset",
            limited(type_, met_by=model),
            Comes(asked=("sub1", "sub2", "sub1"), alerts=("failover",), cost="0.0012"),
            before=({"model": model}, 5 * HOUR),
            request={"model": model},
        )
        for told, type_, model, _ in OF_SOME_MODELS
    ),
    Case(
        "a limit of a model that all have met",
        among(*[hit(FABLES, 5 * HOUR, model=FABLE)] * 2),
        no_headroom(
            "usage_limit",
            5 * HOUR,
            attempts=(),
            asked=(),
            alerts=("failover",),
        ),
        request={"model": FABLE},
    ),
    *(
        Case(
            f"the limit of {type_} holds for all models",
            limited(type_, met_by=FABLE),
            goes_on(
                "",
                attempts=(ANSWERED,),
                asked=("sub1", "sub2", "sub2"),
                alerts=("failover", "limit_reached"),
                cost="0.0012",
            ),
            before=({"model": FABLE},),
        )
        for type_ in ("five_hour", "seven_day")
    ),
    Case(
        "a limit of days is probed within six hours",
        {"sub1": (hit("seven_day", 90 * HOUR), OK)},
        Comes(alerts=("limit_reached",)),
        before=(REQUEST, 6 * HOUR + MINUTE),
    ),
    Case(
        "a limit of five hours is over with its reset",
        {"sub1": (hit("five_hour", 2 * HOUR), OK)},
        Comes(alerts=("limit_reached",)),
        before=(REQUEST, 2 * HOUR),
    ),
    *(
        Case(
            f"a cap by {name} has its reset",
            alone(
                prints(
                    init(),
                    limit("rejected", resetsAt=resets(2 * HOUR), **{name: value}),
                    *failed(429, "rate_limit_error", "limit").lines[1:],
                    exit=1,
                )
            ),
            no_headroom("spend_limit", 2 * HOUR, states=COOLDOWN, alerts=("cooldown",)),
        )
        for name, value in (
            ("limitScope", "member"),
            ("memberSpendLimit", 20),
            ("dailyCapPaused", True),
            ("errorCode", "credits_required"),
        )
    ),
    Case(
        "a figure stays known while its window is the same",
        {"sub1": (saw("five_hour", 0.5), saw("five_hour", None))},
        Comes(windows={"sub1": {"five_hour": 0.5}}, cost="0.0012"),
        before=(REQUEST,),
    ),
    Case(
        "after another reset nothing is known, which is not 0",
        {"sub1": (saw("five_hour", 0.5), saw("five_hour", None, 8 * HOUR))},
        Comes(windows={"sub1": {"five_hour": None}}, cost="0.0012"),
        before=(REQUEST, 4 * HOUR),
    ),
    Case(
        "of two that are limited the earlier reset is told",
        among(hit("five_hour", 3 * HOUR), hit("five_hour", 2 * HOUR)),
        no_headroom(
            "usage_limit",
            2 * HOUR,
            states={"sub1": "cooldown", "sub2": "cooldown"},
            alerts=("failover", "limit_reached", "limit_reached"),
        ),
    ),
    Case(
        "one that fails beside one that is limited: headroom is what is lacking",
        among(FORBIDDEN, hit("five_hour", 2 * HOUR)),
        no_headroom(
            "usage_limit",
            5 * MINUTE,
            states={"sub1": "cooldown", "sub2": "cooldown"},
            alerts=("cooldown", "failover", "limit_reached"),
        ),
    ),
    Case(
        "all fail, and headroom is not what is lacking",
        among(FORBIDDEN, DISABLED),
        unusable(
            "account_disabled",
            asked=(),
            states={"sub1": "cooldown", "sub2": "cooldown"},
            alerts=("cooldown", "cooldown", "failover"),
        ),
        before=(REQUEST,),
    ),
)

# -- money ---------------------------------------------------------------------------------------

API_KEY = {"sub1": {"kind": "api_key"}}

MONEY: tuple[Case, ...] = (
    Case(
        "an API key is left alone while a subscription has headroom",
        {"sub1": (OK,), "sub2": (OK,)},
        Comes(attempts=(ANSWERED,), asked=("sub2",) * 6, cost="0.0036"),
        before=(REQUEST,) * 5,
        each=API_KEY,
    ),
    Case(
        "an API key serves what the subscriptions cannot",
        {"sub1": (OK,), "sub2": (hit("five_hour", 2 * HOUR),)},
        Comes(
            attempts=(("sub2", "usage_limit"), ("sub1", "completed")),
            states={"sub2": "cooldown"},
            alerts=("failover", "limit_reached"),
        ),
        each=API_KEY,
    ),
    Case(
        "an API key takes its turn where it is told to",
        {"sub1": (OK,), "sub2": (OK,)},
        Comes(attempts=(ANSWERED,), asked=("sub1", "sub2"), cost="0.0012"),
        before=(REQUEST,),
        each={"sub1": {"kind": "api_key", "tier": 1}},
    ),
    Case(
        "a share of the windows is kept for its human",
        {"sub1": (saw("five_hour", 0.75),), "sub2": (OK,)},
        Comes(
            attempts=(ANSWERED,),
            asked=("sub1", "sub2"),
            states={"sub1": "limited"},
            alerts=("limit_reached",),
            cost="0.0012",
        ),
        before=(REQUEST,),
        each={"sub1": {"reserve_percent": 30}, "sub2": {"tier": 2}},
    ),
    Case(
        "two scores that are clamped alike are still told apart",
        {"sub1": (saw("five_hour", 0.3),), "sub2": (saw("five_hour", 0.05),)},
        Comes(attempts=(ANSWERED,), asked=("sub1", "sub2", "sub2"), cost="0.0018"),
        before=(REQUEST,) * 2,
    ),
)
