"""The comparison of what was recorded with what is reported: a verdict for each model.

Tokens are compared exactly. The usage report holds no money, so the dollars of a difference are
estimated with the prices that the pool learned; where none is known the difference has no amount,
and its size is judged by its tokens. Dollars are compared to the cent, which is what the cost
report is rounded to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from pool.money import nano_usd, usd
from pool.reconciliation.findings import Figures, Finding, Verdict
from pool.usage.prices import EstimatedCost, LearnedPrices
from pool.usage.records import ModelUsage, Usage
from pool.values import Value

CENT_NANO_USD = 10_000_000
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
_NOTHING = ModelUsage()
_NOTABLE = (
    Verdict.LOCAL_MISSING,
    Verdict.DIFFERS,
    Verdict.REMOTE_MISSING,
    Verdict.PENDING,
    Verdict.MATCH,
    Verdict.NOT_RECONCILABLE,
)
"""The most notable one first. That a part cannot be compared takes nothing from what was."""


class Thresholds(Value):
    """Beyond which a difference is reported: larger than both."""

    nano_usd: int
    percent: float

    def exceeded_by(self, difference: int, larger_side: int) -> bool:
        """Whether nano-dollars exceed them; ``larger_side`` is what the percentage is of."""
        return abs(difference) > max(self.nano_usd, larger_side * self.percent / 100)

    def exceeded_by_tokens(self, difference: int, larger_side: int) -> bool:
        """The same where no price is known: by the percentage alone."""
        return abs(difference) > larger_side * self.percent / 100


class Difference(Value):
    """Remote less local, for one model."""

    usage: ModelUsage
    priced: bool
    """Whether its cost is known; else it is 0."""
    assumed: tuple[str, ...] = ()
    """Proportions of prices that were taken for granted, in words."""


def token_difference(
    model: str, local: ModelUsage, remote: ModelUsage, rates: LearnedPrices
) -> Difference:
    """What a report of tokens says beyond the records, at the prices that are known.

    What there is more of and what there is less of are priced apart: prices are linear, but only
    whole tokens have one. A model's cost never sinks below nothing by it.
    """
    counts = {field: getattr(remote, field) - getattr(local, field) for field in _TOKENS}
    more = _priced(model, {field: max(0, count) for field, count in counts.items()}, rates)
    less = _priced(model, {field: max(0, -count) for field, count in counts.items()}, rates)
    priced = not more.unpriced and not less.unpriced
    cost = max(more.cost_nano_usd - less.cost_nano_usd, -local.cost_nano_usd) if priced else 0
    return Difference(
        usage=ModelUsage(**counts, cost_nano_usd=cost),
        priced=priced,
        assumed=tuple(sorted({*more.assumed, *less.assumed})),
    )


def _priced(model: str, counts: dict[str, int], rates: LearnedPrices) -> EstimatedCost:
    """The cost of some tokens; that of no tokens is known."""
    if not any(counts.values()):
        return EstimatedCost(usage=Usage())
    return rates.estimate(Usage(models={model: ModelUsage(**counts)}))


def compared_tokens(
    local: Mapping[str, ModelUsage],
    remote: Mapping[str, ModelUsage],
    rates: LearnedPrices,
    thresholds: Thresholds,
) -> tuple[Finding, ...]:
    """An hour of the usage report, whose money is estimated."""
    return tuple(
        _of_tokens(model, local.get(model), remote.get(model), rates, thresholds)
        for model in sorted({*local, *remote})
    )


def _of_tokens(
    model: str,
    local: ModelUsage | None,
    remote: ModelUsage | None,
    rates: LearnedPrices,
    thresholds: Thresholds,
) -> Finding:
    ours, theirs = local or _NOTHING, remote or _NOTHING
    difference = token_difference(model, ours, theirs, rates)
    cost = difference.usage.cost_nano_usd
    if difference.priced:
        exceeds = thresholds.exceeded_by(cost, max(ours.cost_nano_usd, ours.cost_nano_usd + cost))
    else:
        exceeds = thresholds.exceeded_by_tokens(
            _volume(theirs) - _volume(ours), max(_volume(theirs), _volume(ours))
        )
    theirs = theirs.model_copy(update={"cost_nano_usd": ours.cost_nano_usd + cost})
    return Finding(
        model=model,
        local=None if local is None else figures(ours),
        remote=None if remote is None else figures(theirs, priced=difference.priced),
        difference=figures(difference.usage, priced=difference.priced),
        verdict=_verdict(_volume(ours), _volume(theirs), same=_tokens(ours) == _tokens(theirs)),
        exceeds=exceeds,
        reason=_pricing(difference),
    )


def compared_dollars(
    local: Mapping[str, ModelUsage], remote: Mapping[str, ModelUsage], thresholds: Thresholds
) -> tuple[Finding, ...]:
    """A day of the cost report, which holds no tokens."""
    return tuple(
        _of_dollars(
            model,
            local.get(model, _NOTHING).cost_nano_usd,
            remote.get(model, _NOTHING).cost_nano_usd,
            thresholds,
        )
        for model in sorted({*local, *remote})
    )


def _of_dollars(model: str, local: int, remote: int, thresholds: Thresholds) -> Finding:
    difference = remote - local
    same = abs(difference) < CENT_NANO_USD
    return Finding(
        model=model,
        local=Figures(cost_usd=usd(local)),
        remote=Figures(cost_usd=usd(remote)),
        difference=Figures(cost_usd=usd(difference)),
        verdict=_verdict(local, remote, same=same),
        exceeds=thresholds.exceeded_by(difference, max(local, remote)),
    )


def compared_people(
    local: Mapping[tuple[str, str], ModelUsage],
    remote: Mapping[tuple[str, str], ModelUsage],
    thresholds: Thresholds,
) -> tuple[Finding, ...]:
    """A day of Claude Code, by email and model: tokens, and the dollars of both sides."""
    return tuple(
        _of_person(email, model, local.get((email, model)), remote.get((email, model)), thresholds)
        for email, model in sorted({*local, *remote})
    )


def _of_person(
    email: str,
    model: str,
    local: ModelUsage | None,
    remote: ModelUsage | None,
    thresholds: Thresholds,
) -> Finding:
    ours, theirs = local or _NOTHING, remote or _NOTHING
    cost = theirs.cost_nano_usd - ours.cost_nano_usd
    counts = {field: getattr(theirs, field) - getattr(ours, field) for field in _TOKENS}
    return Finding(
        email=email,
        model=model,
        local=None if local is None else figures(local),
        remote=None if remote is None else figures(remote),
        difference=figures(ModelUsage(**counts, cost_nano_usd=cost)),
        verdict=_verdict(_volume(ours), _volume(theirs), same=_tokens(ours) == _tokens(theirs)),
        exceeds=thresholds.exceeded_by(cost, max(ours.cost_nano_usd, theirs.cost_nano_usd)),
    )


def notable(findings: Iterable[Finding]) -> Verdict:
    """The verdict on all of them; of nothing at all, that it agrees."""
    verdicts = {finding.verdict for finding in findings}
    return next((each for each in _NOTABLE if each in verdicts), Verdict.MATCH)


def total_difference(findings: Iterable[Finding]) -> Decimal | None:
    """US dollars of all differences; None where one of them has no price."""
    compared = [each for each in findings if each.difference is not None]
    costs = [each.difference.cost_usd for each in compared if each.difference is not None]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal()) if len(known) == len(costs) else None


def exceeding(findings: Iterable[Finding], thresholds: Thresholds) -> bool:
    """Whether one of them is beyond the thresholds, or all of them together are."""
    findings = tuple(findings)
    total = total_difference(findings) or Decimal()
    larger = max(_total(each.local for each in findings), _total(each.remote for each in findings))
    together = thresholds.exceeded_by(nano_usd(total), nano_usd(larger))
    return together or any(each.exceeds for each in findings)


def figures(usage: ModelUsage, *, priced: bool = True) -> Figures:
    """Tokens and money, as they are shown."""
    counts = {field: getattr(usage, field) for field in _TOKENS}
    return Figures(**counts, cost_usd=usd(usage.cost_nano_usd) if priced else None)


def _total(sides: Iterable[Figures | None]) -> Decimal:
    costs = (side.cost_usd for side in sides if side is not None)
    return sum((cost for cost in costs if cost is not None), Decimal())


def _verdict(local: int, remote: int, *, same: bool) -> Verdict:
    if same:
        return Verdict.MATCH
    if not local:
        return Verdict.LOCAL_MISSING
    return Verdict.DIFFERS if remote else Verdict.REMOTE_MISSING


def _pricing(difference: Difference) -> str | None:
    if not difference.priced:
        return "no price is known for it yet, so the difference has no amount"
    if difference.assumed:
        return f"priced by what is known, and taking for granted: {'; '.join(difference.assumed)}"
    return None


def _tokens(usage: ModelUsage) -> tuple[int, ...]:
    return tuple(getattr(usage, field) for field in _TOKENS)


def _volume(usage: ModelUsage) -> int:
    return sum(_tokens(usage))
