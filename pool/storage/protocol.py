"""The protocols of the durable stores: what each of them promises.

**Ledger**: the rows of one subscription, owned by one activation. Opening it raises the epoch and
shuts every earlier activation out; each transaction checks the epoch, and a stale one raises
``Fenced``. When a method returns, what it wrote survives kill -9 and power loss; when it raises
anything but ``CommitUnknown``, nothing of it was kept.

**Directory**: what belongs to no subscription: the registry of specifications, and the index of
which subscription holds an execution or a session. One owner may hold it, or several share it.

Executions are listed by ``created_at`` and id, and ``cursors.cursor_of`` makes the cursor of each.
Both are asynchronous and safe to call from many tasks of one event loop. Lists are newest first;
a cursor is opaque and stays valid while rows are added. Failures are ``StoreError``s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from pool.alerts.delivery import ListedAlert
from pool.alerts.thresholds import AlertState
from pool.executions.execution import ExecutionRow, ExecutionStatus
from pool.executions.session import SessionHome, SessionMove, SessionTotal
from pool.keys.api_keys import ApiKey
from pool.keys.quotas import Reservation
from pool.limits.windows import RateLimitEvent, Window
from pool.storage.key_store import KeptCharge, KeyHour, KeyStore
from pool.storage.paging import Page
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.settlement import Settlement
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.standing import Standing
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.totals import BlockTotal
from pool.values import Instant, Value

if TYPE_CHECKING:
    from pool.storage.outbox import Outbox
    from pool.storage.reconciliations import Reconciliations


class SubscriptionRows(Value):
    """What a ledger holds once."""

    standing: Standing = Standing()
    executions_ended: int = 0
    last_request_at: Instant | None = None
    last_session_id: str | None = None
    last_session_at: Instant | None = None
    windows: dict[str, Window] = Field(default_factory=dict)


class LedgerPortion(Value):
    """Part of a ledger on its way to another store. Sums are taken along, never computed again:
    they outlive the records that they were made of.
    """

    subscription: SubscriptionRows = SubscriptionRows()
    executions: tuple[ExecutionRow, ...] = ()
    records: tuple[UsageRecord, ...] = ()
    blocks: tuple[BlockTotal, ...] = ()
    limits: tuple[RateLimitEvent, ...] = ()
    """In the order in which they were kept."""
    sessions: tuple[SessionTotal, ...] = ()


class Ledger(Protocol):
    """The durable rows of one subscription, for the activation that opened it."""

    @property
    def subscription_id(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    @property
    def is_lost(self) -> bool:
        """Whether this activation can never write again: fenced, or a commit of unknown fate."""
        ...

    async def recover(self, since: datetime) -> Recovery:
        """Everything that activation needs; costs of records from ``since`` on."""
        ...

    async def begin(self, row: ExecutionRow) -> ExecutionRow:
        """T1: keep a new execution, queued or running. Known already: the row that is kept."""
        ...

    async def update(self, row: ExecutionRow) -> None:
        """Replace an execution that has not ended (started, cancel requested), but for what it was
        asked: its request is written by ``begin`` alone.

        Raises ``NotFound`` for an unknown id and ``Conflict`` for one that has ended.
        """
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """T2: outcome, usage record, aggregates, windows, session and standing at once.

        False, and nothing written, where the execution had ended already (G3). A record whose id is
        known adds nothing, while the rest of the settlement is kept.
        """
        ...

    async def record(self, record: UsageRecord) -> bool:
        """Keep usage reported from outside. False, and nothing written, where the id is known."""
        ...

    async def stand(self, standing: Standing) -> None: ...

    async def execution(self, execution_id: str) -> ExecutionRow | None: ...

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        with_moved: bool = False,
    ) -> Page[ExecutionRow]:
        """Those that went on elsewhere only where that is asked for. ``status`` is one that callers
        are shown: what is being handed on is found as ``queued``.
        """
        ...

    async def session(self, session_id: str) -> SessionTotal | None: ...

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        source: UsageSource | None = None,
    ) -> Page[UsageRecord]:
        """Records with ``since <= timestamp < until``, of one source or of all."""
        ...

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]: ...

    async def limits(self, *, limit: int, cursor: str | None = None) -> Page[RateLimitEvent]: ...

    async def expire(self, before: datetime) -> int:
        """Retention: remove ended executions, records, limit events and idle sessions older than
        ``before``; block and lifetime totals stay. The number of usage records removed.
        """
        ...

    def export(self) -> AsyncIterator[LedgerPortion]:
        """Everything in it, in portions of bounded size and always in the same order."""
        ...

    async def load(self, portion: LedgerPortion) -> None:
        """Keep what another ledger exported, in one transaction.

        Raises ``StoreError``, and keeps nothing of the portion, where a row of it is there already.
        """
        ...

    async def backup(self, file: Path) -> None:
        """Write a copy, consistent in itself, to a file that is not there yet; writes wait for it.

        ``NotSupported`` where the engine has better tools of its own.
        """
        ...

    async def close(self) -> None: ...


class NewClaim(Value):
    """What a request takes in the directory before a subscription is asked to run it."""

    execution_id: str
    key: str | None = None
    """The idempotency key, scoped by its caller."""
    digest: str
    """Of what is asked for: a key stands for one request."""
    at: Instant
    session_id: str
    reservation: Reservation | None = None
    """What it holds of its caller's key, where that is metered."""


class Claim(Value):
    """An execution id taken in the directory, with the digest of what was asked for."""

    execution_id: str
    digest: str
    created_at: Instant
    subscription_id: str | None = None
    """The subscription that was asked last; None in stores of earlier versions, where nobody was
    asked yet."""

    def is_of(self, wanted: NewClaim) -> bool:
        """Whether it was taken for this very request, by this call or an earlier one."""
        return (self.execution_id, self.digest) == (wanted.execution_id, wanted.digest)


class Registration(Value):
    """A subscription that the pool knows."""

    spec: SubscriptionSpec
    declared: bool
    """It stands in ``pool.toml``; only there it can be removed."""
    created_at: Instant


class KeptClaim(Value):
    """A claim with everything that is kept of it."""

    execution_id: str
    key: str | None
    digest: str
    created_at: Instant
    used_at: Instant
    subscription_id: str | None


class DirectoryPortion(Value):
    """Part of a directory on its way to another store."""

    registrations: tuple[Registration, ...] = ()
    claims: tuple[KeptClaim, ...] = ()
    homes: tuple[SessionHome, ...] = ()
    moves: tuple[SessionMove, ...] = ()
    levels: tuple[AlertState, ...] = ()
    alerts: tuple[ListedAlert, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    charges: tuple[KeptCharge, ...] = ()
    key_hours: tuple[KeyHour, ...] = ()


class Directory(Protocol):
    """The registry, and the index of executions and sessions."""

    @property
    def outbox(self) -> Outbox:
        """The alerts of the pool, which are kept here, too."""
        ...

    @property
    def keys(self) -> KeyStore:
        """The keys of callers, which are kept in the same place."""
        ...

    async def claim(self, wanted: NewClaim, subscription_id: str) -> Claim:
        """Take an execution id with its idempotency key, reserve what it may cost, and place it at
        the subscription that is asked next, before it is asked: all of it at once, or nothing.

        The answer is the claim as it stands afterwards. An id or key that was taken before is
        answered with its claim, which counts as used; where that is of another id or digest,
        nothing else is done. What was reserved, settled or placed before stays as it is; so of two
        callers at the same time one decides, and both are told the same.

        Raises a ``KeyLimited`` where the limits of the key leave no room at ``charge.at``; then
        neither the claim nor the reservation is kept.
        """
        ...

    async def place(
        self, execution_id: str, subscription_id: str, session_id: str, *, instead_of: str | None
    ) -> Claim:
        """Note that another subscription is asked to run an execution, before it is asked, and that
        its session lives there, if it lives nowhere yet.

        Done only where the execution stands at ``instead_of``; the answer is the claim as it stands
        afterwards. So of two routers that disagree only one may go on, and an execution never runs
        in two places. Raises ``NotFound`` for an execution that nobody claimed.
        """
        ...

    async def locate(self, execution_id: str, key: str | None = None) -> Claim | None:
        """The claim of an idempotency key, or else of an execution id."""
        ...

    async def session_home(self, session_id: str) -> SessionHome | None:
        """Which subscription holds a session."""
        ...

    async def session_homes(
        self, *, limit: int, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[SessionHome]:
        """Those used last first; of one subscription, or of all."""
        ...

    async def move_session(
        self, session_id: str, *, instead_of: str, subscription_id: str, with_history: bool
    ) -> SessionHome | None:
        """Give a session another home, if it lives at ``instead_of``; its home afterwards, if any.

        With its history: what was fetched last is at the old home, or still where that was to fetch
        it from, and is to be fetched from there.
        """
        ...

    async def session_arrived(self, session_id: str, subscription_id: str, now: datetime) -> bool:
        """Note that the home of a session has fetched it: a move, with both its ends.

        False, and nothing noted, where it lives elsewhere or nothing was to be fetched.
        """
        ...

    async def session_moves(self, session_id: str) -> Sequence[SessionMove]:
        """The moves of a session, oldest first."""
        ...

    async def forget_session(self, session_id: str) -> bool:
        """Remove a session and its moves from the index."""
        ...

    async def register(self, registration: Registration) -> None:
        """Add or replace a subscription."""
        ...

    async def unregister(self, subscription_id: str) -> bool: ...

    async def registrations(self) -> Sequence[Registration]: ...

    async def expire(self, before: datetime) -> int:
        """Forget claims and session homes not used since ``before``; the number of claims."""
        ...

    def export(self) -> AsyncIterator[DirectoryPortion]:
        """Everything in it, in portions of bounded size and always in the same order."""
        ...

    async def load(self, portion: DirectoryPortion) -> None:
        """Keep what another directory exported, in one transaction; see ``Ledger.load``."""
        ...

    async def backup(self, file: Path) -> None:
        """Write a copy to a file; see ``Ledger.backup``."""
        ...

    async def close(self) -> None: ...


class Stores(Protocol):
    """Where ledgers and the directory are opened."""

    async def open_ledger(self, subscription_id: str, *, patience: float = 10.0) -> Ledger:
        """Take a subscription's ledger over: raise its epoch and shut earlier owners out.

        An earlier owner that cannot be shut out while it lives, or while it is in a transaction, is
        waited for, up to ``patience`` seconds; then ``StoreBusy``, saying who holds it. Raises
        ``StoreError`` for a store that cannot be read or written.
        """
        ...

    async def open_directory(self, *, patience: float = 10.0) -> Directory:
        """Join the directory, or take it over where it has one owner."""
        ...

    async def open_reconciliations(self, *, patience: float = 10.0) -> Reconciliations:
        """Take the reconciler's store over, as a ledger is."""
        ...


RETENTION_PERIOD = timedelta(hours=1)
"""How often whoever holds a store has it forget what is older than its retention."""
