"""What a model, or a variant of one, is refused for: remembered for it, where it was refused."""

from __future__ import annotations

from tests.support.clis.scripted_cli import OK
from tests.support.field.account_cases import (
    ANSWERED,
    COOLDOWN,
    DISABLED,
    HOUR,
    LONG,
    OPUS,
    REQUEST,
    among,
    goes_on,
    hit,
    no_headroom,
    refused,
    the_callers,
    unusable,
)
from tests.support.field.field_cases import Case, Comes, beside

NOT_SO_LONG = refused("Extra usage is required for long context requests.", 429, "rate_limit_error")
NO_OPUS = refused("model: claude-opus-4-5", 404, "not_found_error")
PLAIN_GOES_ON = Comes(asked=("sub1", "sub2", "sub1"), alerts=("failover",), cost="0.0012")

MODELS: tuple[Case, ...] = (
    Case(
        "a long context that one may not use goes on elsewhere",
        beside(NOT_SO_LONG),
        goes_on("not_entitled", states={}, alerts=("failover",)),
        request={"model": LONG},
    ),
    Case(
        "beside a long context that one may not use, plain requests go on there",
        {"sub1": (NOT_SO_LONG, OK), "sub2": (OK,)},
        PLAIN_GOES_ON,
        before=({"model": LONG},),
    ),
    Case(
        "a long context that one may not use is remembered for it",
        {"sub1": (NOT_SO_LONG, OK), "sub2": (OK,)},
        goes_on(
            "",
            attempts=(ANSWERED,),
            asked=("sub1", "sub2", "sub2"),
            states={},
            alerts=("failover",),
            cost="0.0012",
        ),
        before=({"model": LONG},),
        request={"model": LONG},
    ),
    Case(
        "a long context that nobody may use",
        among(*[NOT_SO_LONG] * 3),
        the_callers(
            "not_entitled",
            403,
            attempts=tuple((f"sub{n}", "not_entitled") for n in (1, 2, 3)),
            alerts=("failover", "failover"),
        ),
        request={"model": LONG},
    ),
    Case(
        "after a long context that nobody may use, all plain requests go on",
        {f"sub{n}": (NOT_SO_LONG, OK) for n in (1, 2, 3)},
        Comes(
            asked=("sub1", "sub2", "sub3", *["sub1"] * 3),
            alerts=("failover", "failover"),
            cost="0.0018",
        ),
        before=({"model": LONG}, REQUEST, REQUEST),
    ),
    *(
        Case(
            f"after a {field} that is too long for one, short requests go on there",
            {"sub1": (NOT_SO_LONG, OK), "sub2": (OK,)},
            PLAIN_GOES_ON,
            before=({field: "long " * 50_000},),
        )
        for field in ("prompt", "system_prompt")
    ),
    Case(
        "a model that one does not have goes on elsewhere",
        beside(NO_OPUS),
        goes_on("model_not_found", states={}, alerts=("failover",)),
        request={"model": OPUS},
    ),
    Case(
        "a model that one does not have is remembered, and all others go on there",
        {"sub1": (NO_OPUS, OK), "sub2": (OK,)},
        Comes(asked=("sub1", "sub2", "sub2", "sub1"), alerts=("failover",), cost="0.0018"),
        before=({"model": OPUS}, {"model": OPUS}),
    ),
    Case(
        "a model that one does not have is looked for again after an hour",
        {"sub1": (NO_OPUS, OK), "sub2": (OK,)},
        Comes(asked=("sub1", "sub2", "sub1"), alerts=("failover",), cost="0.0012"),
        before=({"model": OPUS}, HOUR),
        request={"model": OPUS},
    ),
    Case(
        "a model that nobody has is the caller's",
        among(NO_OPUS, NO_OPUS),
        the_callers(
            "model_not_found",
            404,
            attempts=(("sub1", "model_not_found"), ("sub2", "model_not_found")),
            alerts=("failover",),
        ),
        request={"model": OPUS},
    ),
    Case(
        "a model that nobody has is not asked for again",
        among(NO_OPUS, NO_OPUS),
        Comes(
            http=404,
            dialects=404,
            messages_error="not_found_error",
            asked=("sub1", "sub2"),
            alerts=("failover",),
            cost="0",
        ),
        before=({"model": OPUS},),
        request={"model": OPUS},
    ),
    Case(
        "a model that one does not have while the other has no headroom",
        {"sub1": (NO_OPUS,), "sub2": (hit("five_hour", 2 * HOUR),)},
        no_headroom(
            "usage_limit",
            HOUR,
            states={"sub2": "cooldown"},
            alerts=("failover", "limit_reached"),
        ),
        request={"model": OPUS},
    ),
    Case(
        "a model that one does not have while the other rests",
        {"sub1": (hit("five_hour", 2 * HOUR),), "sub2": (OK, NO_OPUS)},
        no_headroom(
            "model_not_found",
            HOUR,
            asked=("sub1", "sub2"),
            states=COOLDOWN,
            alerts=("failover", "limit_reached"),
            cost="0.0006",
        ),
        before=(REQUEST,),
        request={"model": OPUS},
    ),
    Case(
        "a model that one does not have while the other is paused",
        {"sub1": (DISABLED,), "sub2": (OK, NO_OPUS)},
        unusable(
            "model_not_found",
            asked=("sub1", "sub2"),
            states=COOLDOWN,
            alerts=("cooldown", "failover"),
            cost="0.0006",
        ),
        before=(REQUEST,),
        request={"model": OPUS},
    ),
)
