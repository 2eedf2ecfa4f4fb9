"""The text of figures, as Prometheus reads it: its own format, or OpenMetrics.

Written line by line, as the text is asked for: to make an object of each line first, as
prometheus_client does, takes several times as long as to write it, and to write all of a large pool
in one go would hold up everybody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, islice
from math import inf, isnan
from typing import Literal, NamedTuple

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
from pool.telemetry.gauges import GAUGES, Gauge

PREFIX = "claude_pool_"
OPENMETRICS_END = "# EOF\n"
_BOUNDS = (*(str(bound) for bound in BOUNDS_SECONDS), "+Inf")
_OF_SUBSCRIPTION = ("subscription",)

PIECE_LINES = 2_000
"""Written in one go: some 5 ms of a core."""

Ids = tuple[str, ...]
"""Values of the labels that say whose figures they are."""


class Family(NamedTuple):
    """The samples of one figure."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    lines: Iterable[str]
    """May be written as they are read, which is possible once."""

    def text(self, *, openmetrics: bool) -> str:
        """All of them, below what they are."""
        return "".join(self.pieces(openmetrics=openmetrics))

    def pieces(self, *, openmetrics: bool) -> Iterator[str]:
        """The text in pieces, each of which is written when it is asked for."""
        name, help_ = PREFIX + self.name, self.help.replace("\\", r"\\").replace("\n", r"\n")
        if openmetrics:
            help_ = help_.replace('"', r"\"")
        elif self.kind == "counter":
            name += "_total"
        yield f"# HELP {name} {help_}\n# TYPE {name} {self.kind}\n"
        lines = iter(self.lines)
        while piece := "".join(islice(lines, PIECE_LINES)):
            yield piece


class _Labels:
    """The text of labels, which stand in the order of their names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._order = sorted(range(len(names)), key=names.__getitem__)

    def text(self, values: Sequence[str]) -> str:
        """In braces; nothing where there are none."""
        if not self._names:
            return ""
        inside = ",".join([_label(self._names[at], values[at]) for at in self._order])
        return f"{{{inside}}}"


@lru_cache(maxsize=100_000)  # all that a pool has: read in a cycle, a smaller one never has any
def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


@lru_cache(maxsize=10_000)  # most are among the few that come again and again
def number(value: float) -> str:
    """As Go writes a float: with an exponent from seven digits on."""
    if value in {inf, -inf}:
        return "+Inf" if value > 0 else "-Inf"
    if isnan(value):
        return "NaN"
    text = repr(float(value))
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02d}"
    return text


def figure(name: str, help_: str, value: float) -> Family:
    """A figure without labels."""
    return Family(name, "gauge", help_, [f"{PREFIX}{name} {number(value)}\n"])


def histograms(timer: Timer, labels: Ids, took: Mapping[Ids, Durations]) -> Family:
    """How long things took, by who they are of; the names of ``labels`` come after "le"."""
    return Family(timer.name, "histogram", timer.help, _durations(timer, labels, took))


def _durations(timer: Timer, labels: Ids, took: Mapping[Ids, Durations]) -> Iterator[str]:
    name, text = PREFIX + timer.name, _Labels(labels)
    for ids, durations in sorted(took.items()):
        whose = text.text(ids)
        rest = f",{whose[1:]}" if whose else "}"
        counts = list(accumulate(durations.counts))
        for bound, count in zip(_BOUNDS, counts, strict=True):
            yield f'{name}_bucket{{le="{bound}"{rest} {number(count)}\n'
        yield f"{name}_count{whose} {number(counts[-1])}\n"
        yield f"{name}_sum{whose} {number(durations.sum_seconds)}\n"


def of_pool(figures: Figures) -> Iterator[Family]:
    """Every figure of a pool, one family after the other."""
    yield from _counted(OF_ROUTERS, (), {(): figures.router})
    heard = {each.id for each in figures.reports} - set(figures.unheard)
    yield figure("subscriptions", "Subscriptions that have sent a report.", len(heard))
    yield figure(
        "subscriptions_unheard",
        "Subscriptions that have sent no report since the router began.",
        len(figures.unheard),
    )
    yield _presences(figures)
    yield from (_of_reports(gauge, figures) for gauge in GAUGES)
    tallies: dict[Ids, Tally] = {(id_,): each for id_, each in figures.tallies.items()}
    yield from _counted(OF_SUBSCRIPTIONS, _OF_SUBSCRIPTION, tallies)


def _presences(figures: Figures) -> Family:
    name = "subscriptions_by_presence"
    lines = [
        f"{PREFIX}{name}{{{_label('presence', presence)}}} {number(count)}\n"
        for presence, count in figures.presences.items()
    ]
    help_ = "Subscriptions whose actor runs, is lost, sleeps, is on its way up, or cannot come up."
    return Family(name, "gauge", help_, lines)


def _of_reports(gauge: Gauge, figures: Figures) -> Family:
    """What the subscriptions' latest reports say; each is as old as ``report_age_seconds``."""
    labels = _Labels((*_OF_SUBSCRIPTION, *gauge.labels))
    name = PREFIX + gauge.name + ("_total" if gauge.is_total else "")
    lines = (
        f"{name}{labels.text((report.id, *values))} {number(value)}\n"
        for report in figures.reports
        for values, value in gauge.of(report, figures.observed_at)
    )
    return Family(gauge.name, "counter" if gauge.is_total else "gauge", gauge.help, lines)


def _counted(
    declared: Iterable[Counter | Timer], labels: Ids, tallies: Mapping[Ids, Tally]
) -> Iterator[Family]:
    for each in declared:
        if isinstance(each, Counter):
            yield _counters(each, labels, tallies)
        else:
            yield histograms(
                each, labels, {ids: tally.took(each) for ids, tally in tallies.items()}
            )


def _counters(counter: Counter, labels: Ids, tallies: Mapping[Ids, Tally]) -> Family:
    text = _Labels(labels if counter.label is None else (*labels, counter.label))
    name = f"{PREFIX}{counter.name}_total"
    lines = (
        f"{name}{text.text((*ids, *values))} {number(count)}\n"
        for ids, tally in tallies.items()
        for values, count in tally.count(counter)
    )
    return Family(counter.name, "counter", counter.help, lines)
