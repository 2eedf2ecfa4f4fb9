"""The routing of an execution: the candidates, their scores, and the reason for the choice."""

from __future__ import annotations

from pydantic import Field

from pool.values import Instant, Value


class Component(Value):
    """One term of the score: its points (negative where it costs health) and a sentence."""

    name: str
    points: float
    sentence: str


class Candidate(Value):
    """A subscription as the router saw it for one request."""

    subscription_id: str
    score: float
    components: tuple[Component, ...] = ()
    """What the score is made of."""
    tier: int = 1
    refusal: str | None = None
    """Why it could not be chosen; None where it could."""
    refusal_cause: str | None = None
    refused_until: Instant | None = None
    """When the refusal lifts by the clock, where that is known."""
    report_age_seconds: float


class Routing(Value):
    """Why an execution went where it went."""

    score: float
    reason: str
    candidates: tuple[Candidate, ...] = ()
    """The best first, those that could not take it last. Of many subscriptions only the chosen one
    and the runners-up, and those that the request has to do with."""
    considered: int = 0
    """How many subscriptions were compared; 0 where earlier releases did not note it."""
    usable: int = 0
    """How many of them could take it."""
    refused: dict[str, int] = Field(default_factory=dict)
    """How many could not, by cause."""
