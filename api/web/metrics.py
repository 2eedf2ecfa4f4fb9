"""The pool's figures in the words of Prometheus.

Nothing is counted twice: what ledgers keep (money, tokens, executions ever) is read from reports
and never falls back by a restart; what owners and routers count since they began comes from their
tallies, and begins anew with them, as Prometheus expects of counters; the requests over HTTP are
counted here. Labels are ids of subscriptions, names of models (the first hundred a subscription,
the others as ``other``) and words of the pool's own, so that their number is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pool.executions.execution import ExecutionStatus
from pool.subscriptions.report import Report, SubscriptionState
from pool.telemetry.counters import (
    BOUNDS_SECONDS,
    Counts,
    Durations,
    Figures,
    RouterCounters,
    SubscriptionCounters,
)
from pool.usage.records import ModelUsageReport

MOST_MODELS = 100
OTHER = "other"
_METHODS = {"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"}
_ENDS = tuple(
    each.value for each in ExecutionStatus if each.is_final and each is not ExecutionStatus.MOVED
)
_TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_creation": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
}


class HttpMetrics:
    """What this process answered over HTTP."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str, str], Durations] = {}
        """How long answers took to begin, by method, template of the address, and status."""

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        labels = (method if method in _METHODS else OTHER, route, str(status))
        self.seconds[labels] = self.seconds.get(labels, Durations()).having(seconds)


class Measured:
    """The layer that times requests. A stream has answered once it begins."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                seconds = time.monotonic() - began
                self._metrics.observe(scope["method"], route, message["status"], seconds)
            await send(message)

        await self._app(scope, receive, measured)


def exposition(figures: Figures | None, http: HttpMetrics, accept: str = "") -> tuple[bytes, str]:
    """The text of all metrics, and its media type; without figures, of this process alone."""
    registry = CollectorRegistry()
    registry.register(_Collected(figures, http))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Collected(Collector):
    """Figures of one instant."""

    def __init__(self, figures: Figures | None, http: HttpMetrics) -> None:
        self._figures = figures
        self._http = http

    def collect(self) -> Iterable[Metric]:
        yield _gauge("router_up", "Whether the router answered.", float(self._figures is not None))
        if self._figures is not None:
            yield from _of_router(self._figures.router)
            yield from _of_pool(self._figures)
            yield from _of_reports(self._figures.reports, self._figures.observed_at)
            yield from _of_tallies(self._figures.tallies)
        yield _histograms(
            "http_request_seconds",
            "From a request over HTTP until its answer began, by the address's template.",
            ("method", "route", "status"),
            sorted(self._http.seconds.items()),
        )


# -- families ------------------------------------------------------------------------------------

_Samples = Iterable[tuple[Sequence[str], float]]


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"claude_pool_{name}", help_, value=value)


def _gauges(name: str, help_: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"claude_pool_{name}", help_, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counters(name: str, help_: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"claude_pool_{name}", help_, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histograms(
    name: str, help_: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], Durations]]
) -> Metric:
    family = HistogramMetricFamily(f"claude_pool_{name}", help_, labels=labels)
    bounds = (*(str(bound) for bound in BOUNDS_SECONDS), "+Inf")
    for values, durations in samples:
        buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
        family.add_metric(values, buckets, sum_value=durations.sum_seconds)
    return family


def _named(counts: Counts, *labels: str, always: Iterable[str] = ()) -> _Samples:
    """One sample a name; 0 for those that are always shown."""
    names = dict.fromkeys([*always, *sorted(counts)])
    return [((*labels, name), counts.get(name, 0)) for name in names]


# -- what they are made of -----------------------------------------------------------------------


def _of_router(tally: RouterCounters) -> Iterator[Metric]:
    yield _counters(
        *("dispatches", "Requests by what came of them: admitted, or the name of the error."),
        *(("result",), _named(tally.dispatches, always=("admitted",))),
    )
    yield _histograms(
        *("dispatch_seconds", "From a request to its admission by a subscription.", ()),
        [((), tally.dispatch)],
    )
    yield _counters(
        *("failovers", "Executions given to another subscription after a failed run, by cause."),
        *(("cause",), _named(tally.failovers)),
    )
    yield _counters(
        *("session_moves", "Sessions that arrived at another subscription."),
        *((), [((), tally.session_moves)]),
    )
    yield _counters(
        *("alerts", "Alerts that were raised, by kind.", ("kind",), _named(tally.alerts))
    )
    yield _counters(
        *("events", "Happenings that were told at /v1/events.", (), [((), tally.happenings)])
    )


def _of_pool(figures: Figures) -> Iterator[Metric]:
    yield _gauge("subscriptions", "Subscriptions that were heard of.", len(figures.reports))
    yield _gauge(
        "subscriptions_unheard",
        "Subscriptions that were not heard of since the router began.",
        len(figures.unheard),
    )


def _of_reports(reports: Sequence[Report], now: datetime) -> Iterator[Metric]:
    """What the owners' latest reports say; each is as old as ``report_age_seconds``."""
    yield from _standing(reports, now)
    yield from _money(reports)
    yield from _usage(reports)


def _by_subscription(reports: Sequence[Report], *figures: float) -> _Samples:
    return [((each.id,), figure) for each, figure in zip(reports, figures, strict=True)]


def _standing(reports: Sequence[Report], now: datetime) -> Iterator[Metric]:
    subscription = ("subscription",)
    yield _gauges(
        *("subscription_state", "1 for the state a subscription is in, 0 for the others."),
        ("subscription", "state"),
        [
            ((each.id, state.value), float(each.state is state))
            for each in reports
            for state in SubscriptionState
        ],
    )
    yield _gauges(
        *("state_until_timestamp_seconds", "When the state lifts by the clock alone, if it does."),
        subscription,
        [((each.id,), each.state_until.timestamp()) for each in reports if each.state_until],
    )
    yield _gauges(
        *("login_expires_timestamp_seconds", "When somebody has to sign in again, if known."),
        subscription,
        [
            ((each.id,), each.login_expires_at.timestamp())
            for each in reports
            if each.login_expires_at
        ],
    )
    yield _gauges(
        *(
            "health_score",
            "0 to 100; the subscription with the highest is asked first.",
            subscription,
        ),
        _by_subscription(reports, *(each.health.score for each in reports)),
    )
    for name, help_, values in (
        ("running", "Runs of the CLI at this instant.", [each.running for each in reports]),
        ("queued", "Executions that wait for a slot.", [each.queued for each in reports]),
        ("capacity", "Runs that are allowed at this instant.", [each.capacity for each in reports]),
        (
            "uncertain_executions",
            "Ended executions whose cost nobody could know.",
            [each.uncertain for each in reports],
        ),
        (
            "owner_epoch",
            "The number of the owner's activation: it rises when its actor begins anew.",
            [each.epoch for each in reports],
        ),
    ):
        yield _gauges(name, help_, subscription, _by_subscription(reports, *values))
    yield _gauges(
        *("report_age_seconds", "How old a subscription's figures here are.", subscription),
        _by_subscription(
            reports, *(max(0.0, (now - each.observed_at).total_seconds()) for each in reports)
        ),
    )


def _money(reports: Sequence[Report]) -> Iterator[Metric]:
    subscription = ("subscription",)
    for name, help_, values in (
        (
            "weekly_used_usd",
            "Spent in the last seven days, by the pool's records.",
            [each.weekly.used_usd for each in reports],
        ),
        (
            "weekly_reserved_usd",
            "Held for running work and for executions of unknown cost.",
            [each.weekly.reserved_usd for each in reports],
        ),
        (
            "weekly_budget_usd",
            "The budget of seven days.",
            [each.weekly.budget_usd for each in reports],
        ),
        (
            "uncertain_usd",
            "Held for executions of unknown cost, until their block is over.",
            [each.uncertain_usd for each in reports],
        ),
        (
            "block_cost_usd",
            "Spent in the current block of five hours.",
            [each.current_block.cost_usd for each in reports],
        ),
        (
            "burn_rate_usd_per_hour",
            "Of the last hour, exponentially weighted.",
            [each.burn_rate_usd_per_hour for each in reports],
        ),
    ):
        yield _gauges(name, help_, subscription, _by_subscription(reports, *map(float, values)))
    yield _gauges(
        *("weekly_utilization_ratio", "The week's use that counts: 1 is all of it."),
        ("subscription", "source"),
        [((each.id, each.weekly_source), each.weekly_percent / 100) for each in reports],
    )
    yield _gauges(
        *("block_utilization_ratio", "The block's use that counts: 1 is all of it."),
        ("subscription", "source"),
        [((each.id, each.block_source), each.block_percent / 100) for each in reports],
    )
    yield from _windows(reports)


def _windows(reports: Sequence[Report]) -> Iterator[Metric]:
    """Anthropic's own figures, with their age: they are seen when something runs."""
    labels = ("subscription", "window")
    seen = [((each.id, name), window) for each in reports for name, window in each.windows.items()]
    yield _gauges(
        *("window_utilization_ratio", "Use of one of Anthropic's windows, as last seen.", labels),
        [(ids, window.utilization) for ids, window in seen if window.utilization is not None],
    )
    yield _gauges(
        *("window_resets_timestamp_seconds", "When one of Anthropic's windows resets.", labels),
        [(ids, window.resets_at.timestamp()) for ids, window in seen if window.resets_at],
    )
    yield _gauges(
        *("window_age_seconds", "How long ago one of Anthropic's windows was seen.", labels),
        [(ids, window.age_seconds) for ids, window in seen],
    )


def _usage(reports: Sequence[Report]) -> Iterator[Metric]:
    """What ledgers have kept since their first day."""
    models = [((each.id, model), usage) for each in reports for model, usage in _models(each)]
    yield _counters(
        "cost_usd",
        "Everything ever recorded. Falls only where an adjustment takes something away.",
        ("subscription", "model"),
        [(ids, float(sum(part.cost_usd for part in usage))) for ids, usage in models],
    )
    yield _counters(
        *("tokens", "Everything ever recorded, by kind.", ("subscription", "model", "kind")),
        [
            ((*ids, kind), float(sum(getattr(part, name) for part in usage)))
            for ids, usage in models
            for kind, name in _TOKENS.items()
        ],
    )
    yield _counters(
        *("lifetime_executions", "Executions that ever ended there.", ("subscription",)),
        [((each.id,), each.totals.executions) for each in reports],
    )
    yield _counters(
        *("usage_records", "Usage records that were ever kept.", ("subscription",)),
        [((each.id,), each.totals.records) for each in reports],
    )


def _models(report: Report) -> Iterator[tuple[str, tuple[ModelUsageReport, ...]]]:
    """The usage of each model, those beyond the bound together."""
    models = sorted(report.totals.usage.models.items())
    for model, usage in models[:MOST_MODELS]:
        yield model, (usage,)
    if models[MOST_MODELS:]:
        yield OTHER, tuple(usage for _, usage in models[MOST_MODELS:])


def _of_tallies(tallies: Sequence[SubscriptionCounters]) -> Iterator[Metric]:
    """What owners counted since they began."""
    for name, help_, label, counts in (
        ("runs", "Runs of the CLI by how they ended.", "outcome", "runs"),
        ("refusals", "What was not admitted, by cause.", "cause", "refusals"),
        ("cooldowns", "Cooldowns that began, by cause.", "cause", "cooldowns"),
    ):
        yield _counters(
            *(name, help_, ("subscription", label)),
            [
                sample
                for each in tallies
                for sample in _named(getattr(each, counts), each.subscription_id)
            ],
        )
    yield _counters(
        *("executions", "Executions that ended, by status.", ("subscription", "status")),
        [
            sample
            for each in tallies
            for sample in _named(each.executions, each.subscription_id, always=_ENDS)
        ],
    )
    for name, help_, field in (
        ("executions_moved", "Executions that went on at another subscription.", "moved"),
        ("store_failures", "Writes that the store refused.", "store_failures"),
        (
            "ledgers_lost",
            "Owners that had to leave: a write of theirs was fenced off, or in doubt.",
            "ledgers_lost",
        ),
    ):
        yield _counters(
            *(name, help_, ("subscription",)),
            [((each.subscription_id,), getattr(each, field)) for each in tallies],
        )
    yield _histograms(
        *("queue_wait_seconds", "From a request to the start of its run.", ("subscription",)),
        [((each.subscription_id,), each.queue_wait) for each in tallies],
    )
    yield _histograms(
        *("run_seconds", "How long runs of the CLI took.", ("subscription",)),
        [((each.subscription_id,), each.run) for each in tallies],
    )
