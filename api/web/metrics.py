"""The pool's figures in the words of Prometheus.

What is shown is declared in ``pool.telemetry``, and nothing is counted twice: what ledgers keep is
read from reports, what subscriptions and routers count since they began comes from their tallies,
and begins anew with them, as Prometheus expects of counters; requests over HTTP are counted here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

from pool.telemetry.counters import (
    BOUNDS_SECONDS,
    OF_ROUTERS,
    OF_SUBSCRIPTIONS,
    Counter,
    Durations,
    Figures,
    Tally,
    Timer,
)
from pool.telemetry.gauges import GAUGES, OTHER, Gauge

_METHODS = {"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"}
_HTTP = Timer(
    "http_request_seconds",
    "From a request over HTTP until its answer began, by the address's template.",
)
Ids = tuple[str, ...]
"""Values of the labels that say whose figures they are."""


class HttpMetrics:
    """What this process answered over HTTP."""

    def __init__(self) -> None:
        self.seconds: dict[Ids, Durations] = {}
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
        figures = self._figures
        yield _figure("router_up", "Whether the router answered.", figures is not None)
        if figures is not None:
            yield from _counted(OF_ROUTERS, (), {(): figures.router})
            yield from _of_pool(figures)
            yield from (_of_reports(gauge, figures) for gauge in GAUGES)
            tallies: dict[Ids, Tally] = {(id_,): each for id_, each in figures.tallies.items()}
            yield from _counted(OF_SUBSCRIPTIONS, ("subscription",), tallies)
        yield _histograms(_HTTP, ("method", "route", "status"), self._http.seconds)


def _figure(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"claude_pool_{name}", help_, value=float(value))


def _of_pool(figures: Figures) -> Iterator[Metric]:
    yield _figure("subscriptions", "Subscriptions that have sent a report.", len(figures.reports))
    yield _figure(
        "subscriptions_unheard",
        "Subscriptions that have sent no report since the router began.",
        len(figures.unheard),
    )
    family = GaugeMetricFamily(
        "claude_pool_subscriptions_by_presence",
        "Subscriptions whose actor runs, is lost, sleeps, is on its way up, or cannot come up.",
        labels=("presence",),
    )
    for presence, count in figures.presences.items():
        family.add_metric((presence,), count)
    yield family


def _of_reports(gauge: Gauge, figures: Figures) -> Metric:
    """What the subscriptions' latest reports say; each is as old as ``report_age_seconds``."""
    kind = CounterMetricFamily if gauge.is_total else GaugeMetricFamily
    labels = ("subscription", *gauge.labels)
    family = kind(f"claude_pool_{gauge.name}", gauge.help, labels=labels)
    for report in figures.reports:
        for values, value in gauge.of(report, figures.observed_at):
            family.add_metric((report.id, *values), value)
    return family


def _counted(
    declared: Iterable[Counter | Timer], labels: Ids, tallies: Mapping[Ids, Tally]
) -> Iterator[Metric]:
    for each in declared:
        if isinstance(each, Counter):
            yield _counters(each, labels, tallies)
        else:
            durations = {ids: tally.took(each) for ids, tally in tallies.items()}
            yield _histograms(each, labels, durations)


def _counters(counter: Counter, labels: Ids, tallies: Mapping[Ids, Tally]) -> Metric:
    labels = labels if counter.label is None else (*labels, counter.label)
    family = CounterMetricFamily(f"claude_pool_{counter.name}", counter.help, labels=labels)
    for ids, tally in tallies.items():
        for values, count in tally.count(counter):
            family.add_metric((*ids, *values), count)
    return family


def _histograms(timer: Timer, labels: Sequence[str], took: Mapping[Ids, Durations]) -> Metric:
    family = HistogramMetricFamily(f"claude_pool_{timer.name}", timer.help, labels=labels)
    bounds = (*(str(bound) for bound in BOUNDS_SECONDS), "+Inf")
    for ids, durations in sorted(took.items()):
        buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
        family.add_metric(ids, buckets, sum_value=durations.sum_seconds)
    return family
