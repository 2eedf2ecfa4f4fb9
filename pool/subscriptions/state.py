"""A subscription's state in memory: what its rows say, kept at hand.

``recovered`` builds it from what the ledger kept, and it follows live use by the same functions.
What it means at an instant is said by ``status`` and ``reporting``, as functions of (state,
``now``): nothing expires by being run; it stops holding (G8).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pool.executions.intent import Intent, run_size
from pool.executions.outcome import FailureKind
from pool.executions.row import ExecutionRow, is_of_unknown_cost
from pool.executions.status import ExecutionStatus
from pool.limits.forecast import Study, studied
from pool.limits.usage_reading import ExtraUsage
from pool.limits.windows import RateLimitEvent, Window, newest
from pool.money import nano_usd, usd
from pool.subscriptions.admission import Ask
from pool.subscriptions.consequences.settlement import Settlement
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.slots import Slots
from pool.subscriptions.spec import SubscriptionSpec
from pool.usage.blocks import block_at
from pool.usage.expected_cost import RecentCosts, floor
from pool.usage.prices import LearnedPrices
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.spending import WEEK, Spending
from pool.usage.totals import LifetimeTotal

REMEMBERED = WEEK + timedelta(days=1)
"""How far back costs are kept in memory: a week, and room for a clock that is set back."""
DEFAULT_TYPICAL_NANO_USD = nano_usd("0.25")
"""What a request is said to cost before the pool has seen what requests cost here."""
RECENT_COSTS = 50
MOST_HISTORIES = 10_000
"""Sessions whose size is kept at hand; that of others is read when it is asked for."""
_ENDED_HERE = frozenset(
    each for each in ExecutionStatus if each.is_final and each is not ExecutionStatus.MOVED
)


@dataclass(frozen=True)
class UncertainCost:
    """An execution whose cost nobody knows yet."""

    execution_id: str
    held_nano_usd: int
    """Its reservation, which stays in force until ``held_until``."""
    held_until: datetime
    """The end of the block in which it ended."""


@dataclass
class State:
    """What a subscription knows of itself. Its one actor alone changes it."""

    spec: SubscriptionSpec
    node: str | None = None
    """The node where this activation is, by its name for good."""
    build: str | None = None
    """The version of the code that this activation came up with."""
    epoch: int = 0
    version: int = 0
    spending: Spending = field(default_factory=Spending)
    standing: Standing = field(default_factory=Standing)
    windows: dict[str, Window] = field(default_factory=dict)
    studies: dict[str, Study] = field(default_factory=dict)
    """What was seen of Anthropic's windows over time, and learned from it; by window."""
    totals: LifetimeTotal = field(default_factory=LifetimeTotal)
    recent_costs: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_COSTS))
    slots: Slots = field(default_factory=Slots)
    rates: LearnedPrices = field(default_factory=LearnedPrices)
    """What this subscription's runs were charged, learned from its records."""
    costs: RecentCosts = field(default_factory=RecentCosts)
    """What its latest runs came to, by which the next ones reserve."""
    histories: dict[str, int] = field(default_factory=dict)
    """About how many tokens a session's next turn begins with; those that were used last."""
    models: dict[str, str] = field(default_factory=dict)
    """What its CLI offers, and what each name runs as; empty until it has said."""
    login_expires_at: datetime | None = None
    """When somebody has to sign in again, where that is known."""
    limits_read_at: datetime | None = None
    """When the windows were last read without a run."""
    limits_unreadable: str | None = None
    """Why it cannot be."""
    extra_usage: ExtraUsage | None = None
    uncertain: int = 0
    uncertain_costs: dict[str, UncertainCost] = field(default_factory=dict)
    """The newest of the uncertain executions, by id."""
    suspended: bool = False
    """The service is stopping: nothing more is started by this activation."""
    retired: bool = False
    """It was taken out of the pool: it lets go of what it has."""
    is_asleep: bool = False
    """Its actor has left: this is what a snapshot says, and nobody changes it."""
    idle_since: datetime | None = None
    """When it came up, or the last of what it had to do was over."""
    store_problem: str | None = None
    """Why nothing can be made durable at the moment."""
    first_used_at: datetime | None = None
    """The start of the first block in which something was spent."""
    last_request_at: datetime | None = None
    last_session_id: str | None = None

    def spend(self, record: UsageRecord) -> None:
        """Count a record that was made durable."""
        cost = record.usage.cost_nano_usd
        self.first_used_at = self.first_used_at or block_at(record.timestamp).starts_at
        self.spending.add(record.timestamp, cost)
        self.spending.forget(record.timestamp - 2 * REMEMBERED)
        if cost and record.source is UsageSource.CLI:
            self.recent_costs.append(cost)
            self.rates = self.rates.having_seen(record.usage)
            self.costs = self.costs.having_seen(record, self.rates)
        self.totals = self.totals.model_copy(
            update={
                "records": self.totals.records + 1,
                "usage": self.totals.usage + record.usage,
            }
        )

    def learn(self, newest_first: Sequence[UsageRecord]) -> None:
        """Learn from the records of earlier activations what runs cost."""
        self.rates = LearnedPrices.learned_from(newest_first)
        self.costs = RecentCosts.of_records(newest_first, self.rates)

    def settle(self, settlement: Settlement) -> None:
        """Follow what was made durable at the end of an execution."""
        if settlement.row.status is ExecutionStatus.MOVING:
            self.slots.leave(settlement.row.intent.execution_id)
        else:
            self.slots.release(settlement.row.intent.execution_id)
        if settlement.record is not None:
            self.spend(settlement.record)
            self._grew(settlement.row)
        if settlement.standing is not None:
            self.standing = settlement.standing
        if is_of_unknown_cost(settlement.row):
            self.uncertain += 1
            self.uncertain_cost(settlement.row)
        self.observe(settlement.limits)
        if settlement.row.status in _ENDED_HERE:
            self.totals = self.totals.model_copy(update={"executions": self.totals.executions + 1})

    def uncertain_cost(self, row: ExecutionRow) -> None:
        """Hold the reservation of an execution of unknown cost until its block is over."""
        if row.finished_at is not None:
            self.uncertain_costs[row.intent.execution_id] = UncertainCost(
                execution_id=row.intent.execution_id,
                held_nano_usd=row.intent.reserved_nano_usd,
                held_until=block_at(row.finished_at).ends_at,
            )

    def _grew(self, row: ExecutionRow) -> None:
        """Note what a session has come to by a turn that spent something."""
        if row.outcome is not None:
            session_id = row.outcome.session_id or row.intent.session_id
            self.remember_history(session_id, row.outcome.context_tokens)

    def remember_history(self, session_id: str, tokens: int) -> None:
        self.histories.pop(session_id, None)
        self.histories[session_id] = tokens
        while len(self.histories) > MOST_HISTORIES:
            self.histories.pop(next(iter(self.histories)))

    def history_of(self, intent: Intent) -> int:
        """About how many tokens an execution's session begins with: as its last turn here says, or
        whoever had it before.
        """
        read = intent.reads
        return 0 if read is None else max(intent.history_tokens, self.histories.get(read, 0))

    def runs_as(self, model: str) -> str:
        """What an alias stands for here, as far as that is known; of any other name, itself."""
        return self.models.get(model, model)

    def resolve(self, execution_id: str) -> None:
        """An uncertain cost is known: it was found, and recorded."""
        if self.uncertain_costs.pop(execution_id, None) is not None:
            self.uncertain -= 1

    def is_idle(self, now: datetime) -> bool:
        """Whether nothing has to be done here, by this activation: nobody is served or waits,
        nothing is held for a cost in doubt, which is looked for again and again, nobody has to be
        asked whether they signed in, and what there is is durable.
        """
        cooldown = self.standing.cooldown
        is_signed_out = cooldown is not None and cooldown.cause is FailureKind.AUTHENTICATION
        is_stopped = self.suspended or self.retired or self.store_problem is not None
        return not (self.slots.is_any or is_stopped or is_signed_out or self.held_in_doubt(now))

    def held_in_doubt(self, now: datetime) -> int:
        """Nano-dollars that are held for executions whose cost is not known."""
        return sum(
            each.held_nano_usd for each in self.uncertain_costs.values() if now < each.held_until
        )

    def requested(self, intent: Intent) -> None:
        """Note an execution that is admitted."""
        if self.last_request_at is None or self.last_request_at <= intent.created_at:
            self.last_request_at = intent.created_at
            self.last_session_id = intent.session_id

    def observe(self, limits: Iterable[RateLimitEvent]) -> None:
        """Take over the windows of newer events; their run has been spent."""
        seen = tuple(limits)
        for event in seen:
            self.windows = newest(self.windows, event.windows)
        self.studies = studied(self.studies, seen, self.spending)

    def recall(self, limits: Iterable[RateLimitEvent], since: datetime) -> None:
        """Learn from events of earlier activations, as far as their costs are remembered."""
        seen = sorted(
            (event for event in limits if event.observed_at >= since),
            key=lambda event: event.observed_at,
        )
        self.studies = studied({}, seen, self.spending)


def recovered(spec: SubscriptionSpec, recovery: Recovery) -> State:
    """The state of a subscription whose ledger was just opened; nothing runs or waits yet."""
    return State(
        spec=spec,
        epoch=recovery.epoch,
        spending=Spending(recovery.costs),
        standing=recovery.standing,
        windows=dict(recovery.windows),
        totals=recovery.totals,
        recent_costs=deque(recovery.recent_costs, maxlen=RECENT_COSTS),
        uncertain=recovery.uncertain,
        first_used_at=recovery.first_used_at,
        last_request_at=recovery.last_request_at,
        last_session_id=recovery.last_session_id,
    )


def typical_cost(state: State) -> int:
    """Nano-dollars that the latest runs have cost here on average."""
    costs = state.recent_costs
    return sum(costs) // len(costs) if costs else DEFAULT_TYPICAL_NANO_USD


def ask_of(state: State, intent: Intent, *, may_wait: bool = True) -> Ask:
    """What admission needs to know of an intent here."""
    busy = state.slots.is_busy(intent.session_id) or (
        intent.forks is not None and state.slots.is_busy(intent.forks)
    )
    return Ask(
        goes_on=(intent.resumes or intent.forks is not None) and intent.session_from is None,
        reserve_usd=usd(held_while_running(state, intent)),
        model=state.runs_as(intent.model),
        asked_for=intent.model,
        prompt_bytes=intent.request.prompt_bytes,
        session_busy=busy,
        waits_for_session=intent.request.session_busy == "wait",
        may_wait=may_wait,
    )


def ask_to_start(state: State, intent: Intent) -> Ask:
    """What admission needs to know of something that waits here and could start.

    What it has reserved is its own, and the others who wait give way to it: together they may hold
    more than is left, where a run has cost more than was thought. What could not reserve when it
    came asks for what is still free.
    """
    ask = ask_of(state, intent)
    if not intent.reserved_nano_usd:
        return ask
    return ask.model_copy(update={"yielding_usd": usd(state.slots.waiting_nano_usd)})


def held_while_running(state: State, intent: Intent) -> int:
    """Nano-dollars that something holds from its start on: what it has reserved, if it has."""
    return intent.reserved_nano_usd or reservation(state, intent)


def reservation(state: State, intent: Intent) -> int:
    """Nano-dollars to hold for a request while it runs: what runs like it cost here, or its own
    budget where that is more. What a caller claims never lowers it.
    """
    known = intent.model_copy(update={"history_tokens": state.history_of(intent)})
    least = floor(state.costs.expected.values(), run_size(known, state.runs_as(intent.model)))
    return max(least.nano_usd, nano_usd(intent.request.max_budget_usd or 0))
