"""The catalogue of models that callers may name.

A model is known that a subscription's CLI offers, that the pool has used, or that the configuration
spells out; of a known one also its dated releases and its long context (``[1m]``). Aliases are
always known. Where no CLI has said what it offers, and where a pattern of the configuration asks
for more than that, any name of the right form is taken: whether it exists is found by a run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches

from pool.subscriptions.report import Report
from pool.usage.model_names import FAMILIES, MODEL_ID, base_name, is_meant, plain_name

ALIASES = frozenset({"default", *FAMILIES})
"""What every release of the CLI resolves by itself."""
ALL = ("*",)
MOST_NEAREST = 3
_CLAUDE = "claude-"
_FORM = re.compile(
    r"claude-([a-z]+-\d{1,2}(-\d{1,2})?|\d(-\d)?-[a-z]+)(-\d{8}|-latest|@\d{8})?",
)
_WILD = frozenset("*?[")


@dataclass(frozen=True)
class Catalogue:
    """The models that requests to a pool may name."""

    default: str
    """The model of requests that name none."""
    patterns: tuple[str, ...]
    """Of the configuration; empty for all that is known."""
    offered: Mapping[str, frozenset[str]]
    """By a name that a CLI offers, what it runs as: accounts may differ in that."""
    used: frozenset[str]
    open: tuple[str, ...] = ALL
    """Patterns of what whoever asks may use."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that can be listed, the default one first."""
        targets = frozenset[str]().union(*self.offered.values())
        aliases = frozenset() if self.offered else ALIASES
        others = {*aliases, *self.offered, *targets, *self.spelt_out, *self.used} - {self.default}
        allowed = sorted(name for name in others if self._is_allowed(name))
        return tuple(name for name in (self.default, *allowed) if self._is_open(name))

    @property
    def spelt_out(self) -> tuple[str, ...]:
        """The models that the configuration names, the default one first."""
        return (self.default, *(each for each in self.patterns if not _WILD & set(each)))

    def find(self, name: str) -> str | None:
        """The name by which a model is known here, without a provider's prefix; None for one that
        nobody has.
        """
        bare = name.rpartition("/")[2]
        names = (each for each in (name, bare) if MODEL_ID.match(each))
        known = (each for each in names if self._is_known(each) and self._is_allowed(each))
        return next(filter(self._is_open, known), None)

    def nearest(self, name: str) -> tuple[str, ...]:
        """Names that may have been meant by one that nobody has."""
        bare = name.rpartition("/")[2]
        return tuple(get_close_matches(bare, self.names, n=MOST_NEAREST))

    def runs_as(self, name: str) -> frozenset[str]:
        """What an alias stands for, on one subscription or another; empty for any other name."""
        return self.offered.get(plain_name(name), frozenset()) - {plain_name(name)}

    def aliases(self, name: str) -> tuple[str, ...]:
        """The other names of a model."""
        return tuple(sorted(each for each in self.offered if self.runs_as(each) == {name}))

    def is_offered(self, name: str) -> bool:
        """Whether a CLI offers it, or a run has shown that there is one."""
        plain, known = plain_name(name), self.used.union(self.offered, *self.offered.values())
        return plain in ALIASES | known or base_name(plain) in map(base_name, known)

    def _is_open(self, name: str) -> bool:
        return is_meant(name, self.open, self.runs_as(name))

    def _is_known(self, name: str) -> bool:
        plain = plain_name(name)
        is_configured = plain in self.patterns or plain == plain_name(self.default)
        return is_configured or self.is_offered(name) or self._is_trusted(plain)

    def _is_trusted(self, plain: str) -> bool:
        """Whether a name is taken that no subscription is known to have."""
        if _FORM.fullmatch(plain):
            return is_meant(plain, self.patterns) or not self.offered
        return not plain.startswith(_CLAUDE) and is_meant(plain, self.patterns)

    def _is_allowed(self, name: str) -> bool:
        if not self.patterns or plain_name(name) == plain_name(self.default):
            return True
        return is_meant(name, self.patterns, self.runs_as(name))


def catalogue(
    default: str,
    patterns: tuple[str, ...],
    reports: Collection[Report],
    open_: tuple[str, ...] = ALL,
) -> Catalogue:
    """What the configuration and the reports of all subscriptions come to, for somebody who may use
    what ``open_`` says.
    """
    used = {plain_name(name) for report in reports for name in report.totals.usage.models}
    offered = merged(report.models for report in reports)
    return Catalogue(default, patterns, offered, frozenset(used), open_)


class KnownModels:
    """The catalogue of all subscriptions, by reports as they come: it is made anew only where one
    offers or has used other models than before.
    """

    def __init__(self, default: str, patterns: tuple[str, ...]) -> None:
        self._default = default
        self._patterns = patterns
        self._reports: dict[str, Report] = {}
        self._catalogue: Catalogue | None = None

    def heard(self, report: Report) -> None:
        """Go by another report of a subscription."""
        before = self._reports.get(report.id)
        self._reports[report.id] = report
        if before is None or _models_of(before) != _models_of(report):
            self._catalogue = None

    def left(self, subscription_id: str) -> None:
        """A subscription is not there any more."""
        if self._reports.pop(subscription_id, None) is not None:
            self._catalogue = None

    @property
    def catalogue(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = catalogue(self._default, self._patterns, self._reports.values())
        return self._catalogue


def _models_of(report: Report) -> tuple[Mapping[str, str], AbstractSet[str]]:
    return report.models, report.totals.usage.models.keys()


def merged(offers: Iterable[Mapping[str, str]]) -> dict[str, frozenset[str]]:
    """What several CLIs offer, by name."""
    found: dict[str, frozenset[str]] = {}
    for name, target in (pair for offer in offers for pair in offer.items()):
        plain = plain_name(name)
        found[plain] = found.get(plain, frozenset()) | {plain_name(target)}
    return found
