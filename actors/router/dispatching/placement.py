"""The placement of an execution: the subscription to ask next, by the ranking and earlier answers.

Nothing here asks anybody. ``placer`` does, and comes back with the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import NAMESPACE_OID, uuid5

from actors.interfaces.messages import Dispatch, HandoffRequest
from actors.router.keys.callers import Permit
from pool.errors import Exhausted, InvalidRequest, ModelRefused, PoolError, Unavailable
from pool.executions.attempt import Attempt
from pool.executions.request import ExecutionRequest
from pool.executions.row import Others
from pool.executions.session import SessionHome
from pool.executions.tools.permissions import not_granted
from pool.keys.access import ALL
from pool.keys.api_keys import KeySpec
from pool.routing.candidates import RankedCandidate
from pool.routing.ranking import Question, Ranking
from pool.storage.directory.claims import Claim, NewClaim
from pool.subscriptions.admission import Ask, Refusal, RefusalCause
from pool.subscriptions.consequences.model_refusals import ABOUT_A_MODEL

_SESSION_STAYS = {
    RefusalCause.QUEUE_FULL,
    RefusalCause.BUSY,
    RefusalCause.SESSION_BUSY,
    RefusalCause.STALE_REPORT,
}
"""Refusals for which a session is not moved: they pass soon, or its transcript is out of reach."""
_HOLDS_FOR_NEW_WORK = {
    RefusalCause.PAUSED,
    RefusalCause.DRAINING,
    RefusalCause.NEEDS_LOGIN,
    RefusalCause.COOLDOWN,
    RefusalCause.FAILING,
    RefusalCause.MODEL,
    RefusalCause.LIMITED,
    RefusalCause.OVERAGE,
    RefusalCause.BUDGET,
}
"""Refusals that do not hold for a turn whose session is at work there."""


@dataclass(frozen=True)
class Order:
    """An order to have one execution run: what is to be placed, and what is known about where."""

    dispatch: Dispatch
    session_id: str
    home: SessionHome | None
    """Where its session lives, or the one that it forks."""
    barred: Mapping[str, Refusal] = field(default_factory=dict)
    """Who does not run it, whatever the reports say."""
    attempts: tuple[Attempt, ...] = ()
    owners: tuple[str, ...] = ()
    may_wait: bool = True
    history_tokens: int = 0
    """About how long the history is that it goes on from; 0 where that was not asked."""
    key: KeySpec | None = None
    """The caller's key, where it has one: it may be kept from some subscriptions."""
    wanted: NewClaim | None = None
    """What is to be claimed with its first place; None once it is."""
    handed_on: int = 0
    """The number of the placement by which its last owner hands it on; 0 where none is known."""

    @property
    def request(self) -> ExecutionRequest:
        return self.dispatch.request

    @property
    def resumes(self) -> bool:
        return self.home is not None and not self.request.fork_session

    @property
    def session_tenant(self) -> str | None:
        """Whom its session belongs to: one that is gone on with, to whom it did before."""
        was = self.home.tenant if self.resumes and self.home is not None else None
        return was or self.dispatch.tenant

    @property
    def forks(self) -> str | None:
        return self.request.session_id if self.request.fork_session else None

    def is_given_back(self, claim: Claim) -> bool:
        """Whether its owner was told, by another router, that nobody takes it: it goes on there,
        and must not go elsewhere by the same handoff.
        """
        is_owners = bool(self.owners) and claim.subscription_id == self.owners[-1]
        return is_owners and 0 < self.handed_on < claim.placement

    def under(self, permit: Permit) -> Order:
        """The order as its caller's key lets it run."""
        if permit.key is None:  # a program of the cluster, or anybody where there are no keys
            missing = not_granted(self.request.tools, self.request.agent, self.dispatch.grant)
            if missing is not None:
                raise InvalidRequest(missing.field, missing.problem)
            return self
        update = {"request": permit.request, "grant": permit.grant}
        holds = {"reservation": permit.reservation}
        return replace(
            self,
            dispatch=self.dispatch.model_copy(update=update),
            key=permit.key,
            wanted=self.wanted and self.wanted.model_copy(update=holds),
        )

    def ask(self, default_model: str) -> Ask:
        return Ask(
            goes_on=False,
            reserve_usd=self.request.max_budget_usd or Decimal(0),
            model=self.request.model or default_model,
            asked_for=self.request.model or default_model,
            prompt_bytes=self.request.prompt_bytes,
        )


def question_of(
    order: Order,
    refusals: Mapping[str, Refusal],
    default_model: str,
    asked: str | None = None,
) -> Question:
    """What a ranking is asked for an order."""
    return Question(
        ask=order.ask(default_model),
        open_to=ALL if order.key is None else order.key.subscriptions,
        home=order.home.subscription_id if order.home else None,
        only=order.request.subscription_id,
        asked=asked,
        barred=order.barred,
        refused={id_: each for id_, each in refusals.items() if id_ not in order.barred},
    )


def session_id_of(request: ExecutionRequest, execution_id: str) -> str:
    """A new session's id follows from the execution's: a repeated dispatch names the same one."""
    if request.session_id is not None and not request.fork_session:
        return request.session_id
    return str(uuid5(NAMESPACE_OID, execution_id))


def first_heard(order: Order) -> str | None:
    """Whom to hear from first: who is wanted, or has the session."""
    return order.request.subscription_id or (order.home.subscription_id if order.home else None)


def source_of(order: Order, chosen: str) -> str | None:
    """Where the history that ``chosen`` goes on from may have to be fetched."""
    if order.home is None:
        return None
    if order.resumes:
        return order.home.fetch_from
    there = order.home.fetch_from or order.home.subscription_id
    return None if there == chosen else there


def tried(subscription_id: str, handoff: HandoffRequest) -> Refusal:
    if subscription_id == handoff.subscription_id:
        return handoff.why
    return Refusal(cause=RefusalCause.ATTEMPTED, detail="it handed the execution on")


def target_of(
    order: Order, ranking: Ranking, asked: str | None, refusals: Mapping[str, Refusal]
) -> str:
    """Whom to ask: the one that was asked before, until it has refused; then the one that has the
    session; then the best.
    """
    if asked is not None and asked not in refusals:
        return asked
    home = order.home.subscription_id if order.home else None
    at_home = ranking.of(home) if home else None
    if at_home is not None and (at_home.refusal is None or _may_be_at_work(at_home, refusals)):
        return at_home.report.id
    if home is not None and not _may_leave(ranking, home):
        raise nobody_takes(order, ranking)
    if not ranking.usable:
        raise nobody_takes(order, ranking)
    return ranking.usable[0].report.id


def _may_be_at_work(at_home: RankedCandidate, refusals: Mapping[str, Refusal]) -> bool:
    """Whether its home has to be asked, though by its report it refuses: only there it is known
    whether a turn of the session is at work, and then this one waits behind it.
    """
    cause = at_home.refusal.cause if at_home.refusal is not None else None
    return cause in _HOLDS_FOR_NEW_WORK and at_home.report.id not in refusals


def _may_leave(ranking: Ranking, home: str) -> bool:
    """Whether its session, or a copy of the one it forks, can go on elsewhere."""
    at_home = ranking.of(home)
    if at_home is None:  # its home has sent no report: the transcript is out of reach
        return False
    return at_home.refusal is None or at_home.refusal.cause not in _SESSION_STAYS


def reason_of(order: Order, ranking: Ranking, chosen: str) -> str:
    home = order.home.subscription_id if order.home else None
    if home == chosen:
        came_from = order.home.fetch_from if order.home and order.resumes else None
        return (
            f"its session lives on {home}"
            if came_from is None
            else f"its session moves there from {came_from}, which cannot serve it"
        )
    if order.request.subscription_id is not None:
        return "the caller asked for it"
    if order.attempts:
        return f"attempt {len(order.attempts) + 1}: {order.attempts[-1].subscription_id} failed"
    usable = ranking.usable_count
    return f"the best of {usable} that can take it" if usable > 1 else "the only one that can"


def why_not_others(order: Order, ranking: Ranking) -> Others | None:
    """What keeps those from an order who have not refused its model; None where all have."""
    said_so = {each.subscription_id for each in order.attempts if each.outcome in ABOUT_A_MODEL}
    causes = {
        each.refusal.cause
        for each in ranking.candidates
        if each.refusal is not None and each.report.id not in said_so
    }.union(ranking.rest.refused) - {RefusalCause.MODEL, RefusalCause.OTHER_WANTED}
    if not causes:
        return None
    return "exhausted" if any(each.is_exhaustion for each in causes) else "unavailable"


def nobody_takes(order: Order, ranking: Ranking) -> PoolError:
    execution_id = order.dispatch.execution_id
    is_limited = order.key is not None and order.key.subscriptions != ALL
    reasons = ranking.reasons or (
        "none of those that are open to the caller's key is known, or has come up yet"
        if is_limited
        else "no subscription is known, or none has come up yet: add one to pool.toml or over "
        "HTTP, or see the log for why it does not come up"
    )
    if ranking.is_exhausted:
        return Exhausted(execution_id, reasons, ranking.retry_at)
    if ranking.is_without_the_model:
        return ModelRefused(reasons)
    return Unavailable(execution_id, reasons)
