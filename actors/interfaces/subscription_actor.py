"""A subscription's actor, as the router and clients call it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Protocol

from actors.interfaces.messages import (
    LONGEST_POLL_SECONDS,
    Activity,
    CameLate,
    NotAdmitted,
    Recorded,
    Retracted,
    Started,
)
from pool.claude.transcripts.copy import SessionCopy
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.outcome import FailureKind
from pool.executions.progress import ProgressPage
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolResult
from pool.keys.access import FULL_ACCESS, Access
from pool.storage.paging import Page
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionSpec
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.question import Question
from pool.usage.records import UsageRecord
from pool.usage.retraction import UsageToRetract
from pool.usage.totals import BlockTotal


class SubscriptionActor(Protocol):
    """A subscription's actor, as a router and a client call it. See ``actors.subscription``."""

    async def start(self, intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted: ...

    async def result(
        self, execution_id: str, wait_seconds: float = LONGEST_POLL_SECONDS
    ) -> Execution: ...

    async def progress(
        self, execution_id: str, after: str | None, wait_seconds: float, *, raw: bool = False
    ) -> ProgressPage: ...

    async def cancel(self, execution_id: str) -> Execution: ...

    async def tool_results(
        self, execution_id: str, results: tuple[ToolResult, ...]
    ) -> Execution | CameLate:
        """Give an execution results of its caller's tools, durably; or what to do with them."""
        ...

    async def execution_of_call(self, call_id: str, tenant: str | None) -> str | None:
        """The id of the execution that made a call of its caller's tools, of a tenant's where one
        is named; None for a call that nobody here made.
        """
        ...

    async def is_open(self, execution_id: str, access: Access) -> bool:
        """Whether an execution that is here is one that somebody has access to."""
        ...

    async def was_cancelled(self, execution_id: str) -> bool: ...

    async def suspect(self, kind: FailureKind) -> None: ...

    async def session_copy(self, session_id: str, execution_id: str) -> SessionCopy: ...

    async def history_tokens(self, session_id: str) -> int: ...

    async def has_at_work(self, session_id: str) -> bool: ...

    async def forget_session(self, session_id: str) -> None: ...

    async def next_report(self, epoch: int, version: int, wait_seconds: float) -> Report: ...

    async def activity(self, after: str | None) -> Activity: ...

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        access: Access = FULL_ACCESS,
    ) -> Page[Execution]: ...

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tenant: str | None = None,
    ) -> Page[UsageRecord]: ...

    async def usage_by(self, asked: Question) -> UsageTable: ...

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]: ...

    async def record(self, record: UsageRecord) -> Recorded: ...

    async def retract(self, wanted: UsageToRetract, by: str) -> Retracted: ...

    async def pause(self) -> Report: ...

    async def drain(self) -> Report: ...

    async def resume(self) -> Report: ...

    async def suspend(self) -> Report: ...

    async def interrupt(self) -> Report: ...

    async def end_idle(self) -> None: ...

    async def retire(self) -> int:
        """Let go of all executions, for good: how many have not ended there yet."""
        ...

    async def backup(self, file: Path) -> None: ...

    async def configure(self, spec: SubscriptionSpec) -> Report: ...
