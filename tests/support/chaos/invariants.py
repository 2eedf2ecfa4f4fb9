"""What must be so whatever happened: of a ledger, of a subscription, of a machine.

Each check raises ``AssertionError`` and says what does not agree with what. Nothing here asks a
cache for what can be counted: totals are compared with the sums of the rows that are listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from actors.subscription.subscription import Subscription
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.storage.ledger.ledger import Ledger
from pool.storage.paging import Page
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.state import State, recovered
from pool.usage.records import Usage, UsageRecord
from pool.usage.totals import BlockTotal, total_usage
from tests.support.chaos.one_subscription import Home, execution_id
from tests.support.chaos.tally import Doubled, Lost

_PAGE = 200


@dataclass(frozen=True)
class Ledgers:
    """All rows of a ledger, as it lists them."""

    executions: tuple[ExecutionRow, ...]
    records: tuple[UsageRecord, ...]
    blocks: tuple[BlockTotal, ...]
    recovery: Recovery

    @property
    def usage(self) -> Usage:
        return total_usage(each.usage for each in self.records)

    @property
    def cost_nano_usd(self) -> int:
        return self.usage.cost_nano_usd

    def execution(self, number: int) -> ExecutionRow | None:
        wanted = execution_id(number)
        return next((row for row in self.executions if row.intent.execution_id == wanted), None)


async def every(page_of: Callable[..., Awaitable[Page[Any]]]) -> tuple[Any, ...]:
    """All items of a list, page by page."""
    items: list[Any] = []
    cursor = None
    while True:
        page = await page_of(limit=_PAGE, cursor=cursor)
        items.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return tuple(items)


async def books(ledger: Ledger, since: datetime) -> Ledgers:
    return Ledgers(
        executions=await every(ledger.executions),
        records=await every(ledger.usage),
        blocks=await every(ledger.blocks),
        recovery=await ledger.recover(since),
    )


async def checked_ledger(ledger: Ledger, since: datetime) -> Ledgers:
    """The books, after they were found to agree with themselves."""
    found = await books(ledger, since)
    check_books(found)
    return found


def check_books(found: Ledgers) -> None:
    """One outcome an id, one record an outcome that cost something, sums that are sums."""
    ids = Counter(row.intent.execution_id for row in found.executions)
    if ids.total() != len(ids):
        raise Doubled(f"an id is listed twice: {ids.most_common(1)}")
    names = Counter(record.id for record in found.records)
    if names.total() != len(names):
        raise Doubled(f"a record is listed twice: {names.most_common(1)}")
    ended = {row.intent.execution_id: row for row in found.executions if row.status.is_final}
    for row in ended.values():
        assert row.outcome is not None, f"{row.intent.execution_id} ended without an outcome"
        assert row.finished_at is not None, f"{row.intent.execution_id} ended at no time"
    counted: Counter[str] = Counter()
    for record in found.records:
        if record.execution_id is not None:
            assert record.execution_id in ended, f"{record.id} is counted and has not ended"
            counted[record.execution_id] += record.usage.cost_nano_usd  # later corrections, too
    for id_, row in ended.items():
        said = row.outcome.usage.cost_nano_usd if row.outcome else 0
        if counted[id_] != said:
            wrong = Lost if counted[id_] < said else Doubled
            raise wrong(f"{id_} cost {said} and was counted as {counted[id_]}")
    _check_sums(found, len(ended))


def _check_sums(found: Ledgers, ended: int) -> None:
    totals = found.recovery.totals
    assert totals.executions == ended, f"{totals.executions} ended in sum, {ended} are listed"
    assert totals.records == len(found.records), "the number of records is not their number"
    assert totals.usage == found.usage, "the sum of a lifetime is not the sum of its records"
    assert total_usage(block.usage for block in found.blocks) == found.usage, "blocks differ"
    assert sum(block.records for block in found.blocks) == len(found.records), "blocks differ"
    for block in found.blocks:
        inside = [r for r in found.records if block.starts_at <= r.timestamp < block.ends_at]
        assert block.records == len(inside), f"block {block.block_id} counts others' records"
        assert block.usage == total_usage(each.usage for each in inside), block.block_id


def check_told(found: Ledgers, told: Iterable[list[str]]) -> None:
    """Acknowledged implies durable: whatever a caller was told stands in the books (G2)."""
    records = {record.id for record in found.records}
    for what, *words in told:
        if what in {"admitted", "ended", "called", "taken"}:
            row = found.execution(int(words[0]))
            if row is None:
                raise Lost(f"execution {words[0]} was {what}, and nobody knows it")
            if what == "ended" and row.status.value != words[1]:
                raise Lost(f"told {words}, and it stands as {row.status}")
            if what in {"called", "taken"}:
                _check_round(row, int(words[1]), is_taken=what == "taken")
        elif what == "kept" and words[0] not in records:
            raise Lost(f"record {words[0]} was acknowledged, and is not there")


def _check_round(row: ExecutionRow, number: int, *, is_taken: bool) -> None:
    """What a caller was told of a round of calls is there: the calls; that it has the results,
    unless it has ended without them, for then they can come once more.
    """
    if len(row.rounds) <= number or not row.rounds[number].tool_calls:
        raise Lost(f"its caller was shown the calls of round {number}, and nobody knows them")
    ended = row.status.is_final and row.status is not ExecutionStatus.SUCCEEDED
    if is_taken and row.rounds[number].results_digest is None and not ended:
        raise Lost(f"the results of round {number} were taken, and nobody knows them")


def check_started_once(home: Home, numbers: Iterable[int]) -> None:
    """The CLI was given each execution exactly once, and nobody else's."""
    starts = home.starts()
    if max(starts.values(), default=0) > 1:
        raise Doubled(f"started: {starts}")
    assert starts == {str(number): 1 for number in numbers}, f"started: {starts}"


def check_caches(
    subscription: Subscription, recovery: Recovery, now: datetime, policy: SubscriptionPolicy
) -> None:
    """What the subscription shows is what a new activation would compute from the rows alone."""
    live: State = subscription._context.state
    anew = recovered(live.spec, recovery)
    shown, computed = report(live, policy, now), report(anew, policy, now)
    for figure in ("totals", "current_block", "uncertain", "burn_rate_usd_per_hour", "windows"):
        assert getattr(shown, figure) == getattr(computed, figure), figure
    assert shown.weekly.used_usd == computed.weekly.used_usd, "the weekly total"
    assert live.standing == anew.standing, "the standing"


def check_slots(subscription: Subscription, found: Ledgers) -> None:
    """Running never exceeds the slots; what is held is held by what has not ended, and in full."""
    slots, spec = subscription._context.state.slots, subscription._context.state.spec
    still_open = {
        row.intent.execution_id: row for row in found.executions if not row.status.is_final
    }
    assert len(slots.running) <= spec.max_concurrent, f"{len(slots.running)} run at once"
    held = {**slots.running, **slots.waiting, **slots.parked}
    assert held.keys() == still_open.keys(), f"held {sorted(held)}, open {sorted(still_open)}"
    reserved = sum(row.intent.reserved_nano_usd for row in still_open.values())
    assert slots.reserved_nano_usd == reserved, "the reservation is not that of what is open"
    busy = Counter(hold.session_id for hold in slots.running.values())
    assert not busy or max(busy.values()) == 1, f"two turns of one session run: {busy}"


def check_nothing_left(home: Home) -> None:
    """No process, and no directory of a run."""
    assert not home.processes(), f"still running: {home.processes()}"
    assert not home.run_directories(), f"left behind: {home.run_directories()}"
