"""The cases: what was printed, by whom, and what must come of it.

``runs`` are by subscription, in the order in which they are asked while they are equally healthy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripted_cli import COST, OK, SONNET, Prints, failed


@dataclass(frozen=True)
class Comes:
    """What must come of a case's last request, and of all of them for the books."""

    result: str | None = "yes"
    status: str = "succeeded"
    error: str | None = None
    http: int = 200
    """Of ``POST /v1/executions``, waiting."""
    dialects: int = 200
    """Of ``POST /v1/messages``; OpenAI's API has 503 for 529."""
    messages_error: str | None = None
    """The type of the error that Anthropic's API would name."""
    text: str | None = "yes"
    """The answer as both dialects show it."""
    stop_reason: str = "end_turn"
    cost: str = COST
    """What all subscriptions have recorded, in US dollars."""
    attempts: tuple[tuple[str, str], ...] = (("sub1", "completed"),)
    states: Mapping[str, str] = field(default_factory=dict)
    """Of the subscriptions that are not available at the end."""
    alerts: tuple[str, ...] = ()
    """The kinds of all alerts, sorted."""


@dataclass(frozen=True)
class Case:
    name: str
    runs: Mapping[str, Sequence[Prints]]
    comes: Comes
    request: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the request beside its prompt."""
    requests: int = 1
    """How many are sent, one after the other."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of every subscription."""

    @property
    def model(self) -> str:
        return str(self.request.get("model", SONNET))

    @property
    def has_schema(self) -> bool:
        return "json_schema" in self.request


def alone(*runs: Prints) -> dict[str, Sequence[Prints]]:
    return {"sub1": runs}


def beside(*runs: Prints) -> dict[str, Sequence[Prints]]:
    """Beside a subscription with which nothing is wrong."""
    return {"sub1": runs, "sub2": (OK,)}


CASES: tuple[Case, ...] = (
    Case("an ordinary answer", alone(OK), Comes()),
    Case(
        "a limit that is hit goes on elsewhere",
        beside(failed(429, "rate_limit_error", "limit", api_error="usage_limit_reached")),
        Comes(
            attempts=(("sub1", "usage_limit"), ("sub2", "completed")),
            states={"sub1": "cooldown"},
            alerts=("failover", "limit_reached"),
        ),
    ),
)
