"""Showing an execution while it goes on: what its run has printed since a cursor, page by page.

Readers pull, so that a slow one costs nothing, and one who went away nothing either. The output is
on disk and outlives the actor: a reader who asks the next activation with the same cursor gets the
rest. A run that somebody watches is looked at as it prints, off the event loop, once for all who
watch it. What comes after a pause is there at once; what a run prints all the time comes gathered,
every 25 ms. The end is shown after it is durable, and as the last event.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from actors.aiokit import News, every, within
from actors.interfaces.messages import LONGEST_POLL_SECONDS
from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.live_executions import LiveExecutions
from actors.subscription.upkeep.content_removal import seconds_between_looks
from pool.claude.output.event_pages import (
    EventExtract,
    ReadPosition,
    extract,
    no_cursor,
    position_at,
)
from pool.claude.output.progress import ProgressReader
from pool.claude.runner import Runner
from pool.errors import NotFound
from pool.executions.execution import shown
from pool.executions.outcome import Completed
from pool.executions.progress import (
    AttemptBegan,
    AttemptFailed,
    Cursor,
    Ended,
    Event,
    ProgressPage,
    Text,
    WaitsForCaller,
)
from pool.executions.row import ExecutionRow, attempts
from pool.executions.status import ExecutionStatus
from pool.executions.tools.strict_tools import StrictTools

LOOK_SECONDS = 0.025
"""Between two looks at a run that prints all the time."""
LOOKS_AT_ONCE = 10
"""Before that: as many as what a run prints before its first words may take, and these."""
IDLE_SECONDS = 1.0
"""How long a run is looked at after the last reader: the next page is asked for much sooner."""
QUEUE_LOOK_SECONDS = 1.0
"""Should the news of a start be missed."""
REMEMBERED_PLACES = 1000
KEPT = timedelta(minutes=10)
"""How long what a run printed is kept after its end: time enough to come back for the rest; and no
longer than answers are kept at all."""


class EventStreams:
    """Those who watch executions of a subscription."""

    def __init__(self, context: SubscriptionContext, executions: LiveExecutions) -> None:
        self._context = context
        self._executions = executions
        self._tails: dict[str, _Growth] = {}
        self._places: OrderedDict[tuple[str, int], ReadPosition] = OrderedDict()
        """Where readers were last, newest last: only a reader from elsewhere has to read it all."""

    async def page(
        self, execution_id: str, after: str | None, wait_seconds: float, *, raw: bool = False
    ) -> ProgressPage:
        """What came after a cursor, as soon as there is something; after ``wait_seconds`` (at most
        30) a page without events. ``NotFound``, or ``InvalidRequest`` for a cursor that is none.
        """
        until = time.monotonic() + min(wait_seconds, LONGEST_POLL_SECONDS)
        cursor = Cursor.of(after) if after is not None else None
        live: LiveExecution | None = None
        while True:
            news = self._context.news.next
            row = await self._row(execution_id, live)
            live = self._executions.get(execution_id)
            turned = live.turned.next if live is not None else None
            tail = await self._tail(live) if live is not None else None
            size = tail.size if tail is not None else 0
            page = await self._page(row, cursor, None if live is None else size, raw=raw)
            left = until - time.monotonic()
            if page.events or page.is_end or page.moved_to is not None or left <= 0:
                return page
            cursor = Cursor.of(page.cursor)
            if tail is not None and turned is not None and row.status is ExecutionStatus.RUNNING:
                await _first(tail.grows(size, left), turned.wait())
            else:
                await within(min(left, QUEUE_LOOK_SECONDS), news)

    async def expire(self) -> None:
        """Remove what ended runs printed when nobody may come back for it; now and again."""
        kept = min(KEPT, self._context.deps.keep_prompts)
        await every(
            seconds_between_looks(kept), partial(self._expire, kept), "output was not removed"
        )

    async def _expire(self, kept: timedelta) -> None:
        before = self._context.now() - kept
        await asyncio.to_thread(self._context.deps.runner.expire, before)

    async def _row(self, execution_id: str, live: LiveExecution | None) -> ExecutionRow:
        row = await self._executions.row(execution_id, live)
        if row is None:
            raise NotFound("execution", execution_id)
        return row

    async def _tail(self, live: LiveExecution) -> _Growth:
        live.is_followed = True
        id_ = live.row.intent.execution_id
        tail = self._tails.get(id_)
        if tail is None or tail.is_over:
            runner = self._context.deps.runner
            tail = self._tails[id_] = _Growth(runner, id_, live.ended)
            self._context.spawn(self._follow(id_, tail))
        await tail.looked()
        return tail

    async def _follow(self, id_: str, tail: _Growth) -> None:
        try:
            await tail.follow()
        finally:
            if self._tails.get(id_) is tail:
                del self._tails[id_]

    # -- one page --------------------------------------------------------------------------------

    async def _page(
        self, row: ExecutionRow, asked: Cursor | None, size: int | None, *, raw: bool
    ) -> ProgressPage:
        """What stands after a cursor; ``size`` is how far to read where the execution lives."""
        own = len(row.intent.earlier_attempts)
        has_ended = size is None and row.status.is_final
        if asked is not None and asked.attempt > own and row.moved_to is not None:
            return _last_page([], asked, row)
        if asked is not None and asked.attempt > own:
            raise no_cursor(asked)
        cursor, events = _beginning(row, asked)
        if cursor.is_end and not has_ended:
            raise no_cursor(cursor)
        if cursor.is_end:
            return _last_page(events, cursor, row)
        found = await self._extract(row, cursor, None if has_ended else size or 0, raw=raw)
        if found is None:
            events += _from_memory(self._attempt(row), row, cursor) if has_ended else ()
        else:
            events += found.events
            if found.place.offset > cursor.offset:
                cursor = Cursor(attempt=own, offset=found.place.offset)
        if not has_ended or (found is not None and not found.is_all):
            return ProgressPage(events=tuple(events), cursor=str(cursor))
        return self._end(row, cursor, events)

    def _end(self, row: ExecutionRow, cursor: Cursor, events: list[Event]) -> ProgressPage:
        last: AttemptFailed | Ended
        id_ = self._context.state.spec.id
        if row.moved_to is None:
            last = Ended(execution=shown(id_, row))
        elif row.started_at is not None:
            last = AttemptFailed(attempt=attempts(id_, row)[-1])
        else:  # it waited here and nothing more: what follows elsewhere is the same attempt
            return _last_page(events, cursor, row)
        cursor = Cursor(attempt=cursor.attempt, is_end=True)
        return _last_page([*events, Event(cursor=str(cursor), progress=last)], cursor, row)

    async def _extract(
        self, row: ExecutionRow, cursor: Cursor, until: int | None, *, raw: bool
    ) -> EventExtract | None:
        """What was printed after a cursor; None where no output is there."""
        id_ = row.intent.execution_id
        if id_ in self._executions.aftermath.being_discarded:
            return None
        read = partial(self._context.deps.runner.printed, id_)
        place, stops = (
            self._places.get((id_, cursor.offset)),
            row.intent.request.stops_at_max_tokens,
        )
        strict = StrictTools.of(row.intent.request.client_tools)
        reader = ProgressReader(self._attempt(row), stops_at_max_tokens=stops, strict=strict)
        rounds = [WaitsForCaller(execution_id=id_, round=each.shown()) for each in row.rounds]

        def work() -> EventExtract | None:
            if read(0, 0) is None:
                return None
            start = place or position_at(read, cursor, reader, until=until)
            return extract(read, start, cursor, until=until, raw=raw, rounds=rounds)

        found = await asyncio.to_thread(work)
        if found is not None:
            self._remember(id_, found.place)
        return found

    def _remember(self, id_: str, place: ReadPosition) -> None:
        self._places[id_, place.offset] = place
        self._places.move_to_end((id_, place.offset))
        while len(self._places) > REMEMBERED_PLACES:
            self._places.popitem(last=False)

    def _attempt(self, row: ExecutionRow) -> AttemptBegan:
        """What is known of its attempt here without its output."""
        return AttemptBegan(
            number=len(row.intent.earlier_attempts),
            subscription_id=self._context.state.spec.id,
            session_id=row.intent.session_id,
            model=self._context.state.runs_as(row.intent.model),
            process=row.process,
        )


def _beginning(row: ExecutionRow, asked: Cursor | None) -> tuple[Cursor, list[Event]]:
    """Where to read on in this attempt, and the ends of earlier ones that were not seen yet."""
    earlier = row.intent.earlier_attempts
    if asked is not None and asked.attempt == len(earlier):
        return asked, []
    unseen = 0 if asked is None else asked.attempt + asked.is_end
    failed = [
        Event(cursor=f"{number}-end", progress=AttemptFailed(attempt=attempt))
        for number, attempt in enumerate(earlier[unseen:], unseen)
    ]
    return Cursor(attempt=len(earlier)), failed


def _from_memory(attempt: AttemptBegan, row: ExecutionRow, cursor: Cursor) -> list[Event]:
    """An attempt whose output is gone, for whoever has seen nothing of it."""
    known: list[AttemptBegan | Text] = [] if row.started_at is None else [attempt]
    if isinstance(row.outcome, Completed) and row.outcome.result:
        known.append(Text(text=row.outcome.result))
    events = [
        Event(cursor=str(Cursor(attempt=attempt.number, events=number)), progress=progress)
        for number, progress in enumerate(known, 1)
    ]
    return [] if cursor.offset else events[cursor.events :]


def _last_page(events: list[Event], cursor: Cursor, row: ExecutionRow) -> ProgressPage:
    return ProgressPage(
        events=tuple(events),
        cursor=str(cursor),
        moved_to=row.moved_to,
        is_end=row.moved_to is None,
    )


async def _first(*awaited: Coroutine[Any, Any, object]) -> None:
    """Wait for whichever comes first, and for none of the others."""
    tasks = [asyncio.ensure_future(each) for each in awaited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class _Growth:
    """How much a run has printed, as of the last look."""

    def __init__(self, runner: Runner, run_id: str, ended: asyncio.Event) -> None:
        self._look = partial(runner.printed, run_id, 0, 0)
        self._watch = partial(runner.watch, run_id)
        self._ended = ended
        self._growth = News()
        self._began = asyncio.Event()
        self._asked_at = self._paced_to = time.monotonic()
        self._waiting = 0
        self.size = 0
        self.is_over = False

    async def follow(self) -> None:
        """Look, as there is news, until the run has ended or nobody has asked for a while. One that
        had ended before the first look is looked at once: its readers come with cursors, too.
        """
        try:
            with self._watch() as wake:
                while True:
                    with contextlib.suppress(OSError):
                        printed = await asyncio.to_thread(self._look)
                        if printed is not None and printed.size > self.size:
                            self.size = printed.size
                            self._growth.tell()
                    self._began.set()
                    if self._ended.is_set() or self._is_idle():
                        return
                    if (pause := self._pause()) > 0:
                        await within(pause, self._ended)
                    await _first(wake.wait(IDLE_SECONDS), self._ended.wait())
        finally:
            self.is_over = True
            self._began.set()
            self._growth.tell()

    async def looked(self) -> None:
        """Wait for the first look."""
        self._asked_at = time.monotonic()
        await self._began.wait()

    async def grows(self, size: int, seconds: float) -> None:
        """Wait until more than ``size`` was printed, or the run has ended."""
        self._waiting += 1
        try:
            if self.size == size and not self.is_over:
                await within(seconds, self._growth.next)
        finally:
            self._waiting -= 1
            self._asked_at = time.monotonic()

    def _pause(self) -> float:
        """How long to wait after a look. Each one costs ``LOOK_SECONDS``, of which so many can have
        been saved.
        """
        now = time.monotonic()
        self._paced_to = max(self._paced_to, now) + LOOK_SECONDS
        return self._paced_to - now - LOOKS_AT_ONCE * LOOK_SECONDS

    def _is_idle(self) -> bool:
        return not self._waiting and time.monotonic() - self._asked_at > IDLE_SECONDS
