"""The health of a subscription: a score from 0 to 100, with its components and their sentences.

``100 - 0.5 x weekly% - 0.3 x block% - penalties + idle bonus``, clamped. Each penalty has a cap, so
that no term alone drowns the others.
"""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat

from pool.executions.routing_record import Component
from pool.values import Value


class HealthWeights(Value):
    """Points of the score's terms: configuration, with the defaults of the design."""

    weekly: NonNegativeFloat = 0.5
    block: NonNegativeFloat = 0.3
    per_running: NonNegativeFloat = 5.0
    running_cap: NonNegativeFloat = 20.0
    per_queued: NonNegativeFloat = 2.0
    queued_cap: NonNegativeFloat = 20.0
    burn_baseline_usd_per_hour: NonNegativeFloat = 3.0
    per_burn_usd: NonNegativeFloat = 2.0
    burn_cap: NonNegativeFloat = 10.0
    per_failure: NonNegativeFloat = 5.0
    failure_cap: NonNegativeFloat = 20.0
    idle_bonus: NonNegativeFloat = 10.0


class Vitals(Value):
    """What the score is made from. Percentages are 0..100, and may exceed 100."""

    weekly_percent: float
    weekly_source: str
    block_percent: float
    block_source: str
    running: int
    queued: int
    burn_usd_per_hour: float
    recent_failures: int
    uncertain: int = 0
    held_in_doubt_usd: float = 0.0


class Health(Value):
    score: float = Field(ge=0, le=100)
    components: tuple[Component, ...]

    @property
    def unclamped(self) -> float:
        """What the score would be without its bounds: it tells apart what is clamped alike."""
        return 100.0 + sum(component.points for component in self.components)


def _penalty(name: str, points: float, cap: float, sentence: str) -> Component:
    return Component(name=name, points=0.0 - round(min(points, cap), 3), sentence=sentence)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def assess(vitals: Vitals, weights: HealthWeights) -> Health:
    """The health score of a subscription, with every term it is made of."""
    weekly, block = min(vitals.weekly_percent, 100.0), min(vitals.block_percent, 100.0)
    excess = max(0.0, vitals.burn_usd_per_hour - weights.burn_baseline_usd_per_hour)
    idle = vitals.running == 0 and vitals.queued == 0
    components = (
        _penalty(
            "weekly",
            weights.weekly * weekly,
            100.0,
            f"{vitals.weekly_percent:.1f}% of the week is used ({vitals.weekly_source}).",
        ),
        _penalty(
            "block",
            weights.block * block,
            100.0,
            f"{vitals.block_percent:.1f}% of the block is used ({vitals.block_source}).",
        ),
        _penalty(
            "running",
            weights.per_running * vitals.running,
            weights.running_cap,
            f"{_plural(vitals.running, 'attempt')} running.",
        ),
        _penalty(
            "queued",
            weights.per_queued * vitals.queued,
            weights.queued_cap,
            f"{_plural(vitals.queued, 'attempt')} waiting.",
        ),
        _penalty(
            "burn_rate",
            weights.per_burn_usd * excess,
            weights.burn_cap,
            f"Spending {vitals.burn_usd_per_hour:.2f} USD an hour; "
            f"{weights.burn_baseline_usd_per_hour:.2f} is usual.",
        ),
        _penalty(
            "failures",
            weights.per_failure * vitals.recent_failures,
            weights.failure_cap,
            f"{_plural(vitals.recent_failures, 'failure')} in a row.",
        ),
        Component(
            name="uncertain",
            points=0.0,
            sentence=f"{_plural(vitals.uncertain, 'execution')} of unknown cost; "
            f"{vitals.held_in_doubt_usd:.2f} USD held for them in this block.",
        ),
        Component(
            name="idle",
            points=weights.idle_bonus if idle else 0.0,
            sentence="Nothing runs or waits." if idle else "It is at work.",
        ),
    )
    score = 100.0 + sum(component.points for component in components)
    return Health(score=round(min(100.0, max(0.0, score)), 3), components=components)
