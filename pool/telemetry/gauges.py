"""Figures of a subscription's report, each declared once in the words in which it is shown.

What ledgers keep (money, tokens, executions ever) never falls back by a restart. Labels are ids of
subscriptions, names of models (the first hundred a subscription, the others as ``other``) and words
of the pool's own, so that their number is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from pool.subscriptions.report import Report, SubscriptionState, WindowReport
from pool.usage.records import ModelUsageReport

MOST_MODELS = 100
OTHER = "other"
_TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_creation": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
}

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of a gauge's further labels after the subscription's, and the figure."""


class Gauge(NamedTuple):
    """A figure of a report at an instant."""

    name: str
    help: str
    of: Callable[[Report, datetime], Samples]
    labels: tuple[str, ...] = ()
    is_total: bool = False
    """It only grows."""


def _one(
    figure: Callable[[Report], Decimal | float | None],
) -> Callable[[Report, datetime], Samples]:
    """One figure a subscription, or none."""

    def samples(report: Report, _: datetime) -> Samples:
        value = figure(report)
        return () if value is None else (((), float(value)),)

    return samples


def _of_windows(
    figure: Callable[[WindowReport], float | None],
) -> Callable[[Report, datetime], Samples]:
    """Anthropic's own figures: they are seen when something runs."""

    def samples(report: Report, _: datetime) -> Samples:
        for name, window in report.windows.items():
            if (value := figure(window)) is not None:
                yield (name,), value

    return samples


def _timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _age(report: Report, now: datetime) -> Samples:
    return (((), max(0.0, (now - report.observed_at).total_seconds())),)


def _states(report: Report, _: datetime) -> Samples:
    return (((each.value,), float(report.state is each)) for each in SubscriptionState)


def _cost(report: Report, _: datetime) -> Samples:
    for model, usage in _models(report):
        yield (model,), float(sum(part.cost_usd for part in usage))


def _tokens(report: Report, _: datetime) -> Samples:
    for model, usage in _models(report):
        for kind, name in _TOKENS.items():
            yield (model, kind), float(sum(getattr(part, name) for part in usage))


def _models(report: Report) -> Iterator[tuple[str, tuple[ModelUsageReport, ...]]]:
    """The usage of each model, those beyond the bound together."""
    models = sorted(report.totals.usage.models.items())
    for model, usage in models[:MOST_MODELS]:
        yield model, (usage,)
    if models[MOST_MODELS:]:
        yield OTHER, tuple(usage for _, usage in models[MOST_MODELS:])


GAUGES = (
    Gauge(
        "subscription_state",
        "1 for the state a subscription is in, 0 for the others.",
        _states,
        ("state",),
    ),
    Gauge(
        "state_until_timestamp_seconds",
        "When the state lifts by the clock alone, if it does.",
        _one(lambda report: _timestamp(report.state_until)),
    ),
    Gauge(
        "login_expires_timestamp_seconds",
        "When somebody has to sign in again, if known.",
        _one(lambda report: _timestamp(report.login_expires_at)),
    ),
    Gauge(
        "health_score",
        "0 to 100; the subscription with the highest is asked first.",
        _one(lambda report: report.health.score),
    ),
    Gauge("running", "Runs of the CLI at this instant.", _one(lambda report: report.running)),
    Gauge("queued", "Executions that wait for a slot.", _one(lambda report: report.queued)),
    Gauge(
        "waiting_for_caller",
        "Executions that wait for the results of their caller's tools; they hold no slot.",
        _one(lambda report: report.waiting_for_caller),
    ),
    Gauge(
        "capacity",
        "Runs that are allowed at this instant.",
        _one(lambda report: report.capacity),
    ),
    Gauge(
        "uncertain_executions",
        "Ended executions whose cost nobody could know.",
        _one(lambda report: report.uncertain),
    ),
    Gauge(
        "owner_epoch",
        "The number of the subscription's activation: it rises when its actor begins anew.",
        _one(lambda report: report.epoch),
    ),
    Gauge("report_age_seconds", "How old a subscription's figures here are.", _age),
    Gauge(
        "weekly_used_usd",
        "Spent in the last seven days, by the pool's records.",
        _one(lambda report: report.weekly.used_usd),
    ),
    Gauge(
        "weekly_reserved_usd",
        "Held for running work and for executions of unknown cost.",
        _one(lambda report: report.weekly.reserved_usd),
    ),
    Gauge(
        "weekly_budget_usd",
        "The budget of seven days.",
        _one(lambda report: report.weekly.budget_usd),
    ),
    Gauge(
        "uncertain_usd",
        "Held for executions of unknown cost, until their block is over.",
        _one(lambda report: report.uncertain_usd),
    ),
    Gauge(
        "block_cost_usd",
        "Spent in the current block of five hours.",
        _one(lambda report: report.current_block.cost_usd),
    ),
    Gauge(
        "burn_rate_usd_per_hour",
        "Of the last hour, exponentially weighted.",
        _one(lambda report: report.burn_rate_usd_per_hour),
    ),
    Gauge(
        "weekly_utilization_ratio",
        "The week's use that counts: 1 is all of it.",
        lambda report, _: [((report.weekly_source,), report.weekly_percent / 100)],
        ("source",),
    ),
    Gauge(
        "block_utilization_ratio",
        "The block's use that counts: 1 is all of it.",
        lambda report, _: [((report.block_source,), report.block_percent / 100)],
        ("source",),
    ),
    Gauge(
        "window_utilization_ratio",
        "Use of one of Anthropic's windows, as last seen.",
        _of_windows(lambda window: window.utilization),
        ("window",),
    ),
    Gauge(
        "window_resets_timestamp_seconds",
        "When one of Anthropic's windows resets.",
        _of_windows(lambda window: _timestamp(window.resets_at)),
        ("window",),
    ),
    Gauge(
        "window_age_seconds",
        "How long ago one of Anthropic's windows was seen.",
        _of_windows(lambda window: window.age_seconds),
        ("window",),
    ),
    Gauge(
        "cost_usd",
        "Everything ever recorded. Falls only where an adjustment takes something away.",
        _cost,
        ("model",),
        is_total=True,
    ),
    Gauge(
        "tokens", "Everything ever recorded, by kind.", _tokens, ("model", "kind"), is_total=True
    ),
    Gauge(
        "lifetime_executions",
        "Executions that ever ended there.",
        _one(lambda report: report.totals.executions),
        is_total=True,
    ),
    Gauge(
        "usage_records",
        "Usage records that were ever kept.",
        _one(lambda report: report.totals.records),
        is_total=True,
    ),
)
