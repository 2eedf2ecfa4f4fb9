"""A subscription with the real runner and CLIs that misbehave: the right end, the slot given back,
and the subscription able to go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from actors.interfaces.messages import Started
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.claude.binary.installation import Installation
from pool.claude.process.process_runner import ProcessRunner
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.outcome import FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.status import ExecutionStatus
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.reporting import SubscriptionPolicy
from tests.support.clis.one_zygote import one_zygote
from tests.support.pools.local_peers import LonelyPeers
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

__all__ = ["one_zygote"]

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
INIT = f'{{"type":"system","subtype":"init","session_id":"{SESSION}"}}'
RESULT = (
    '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"fine",'
    '"total_cost_usd":0.0006,"modelUsage":{"m":{"inputTokens":100,"costUSD":0.0006}}}'
)
VERSION = 'case "$1" in --version) echo "2.1.330 (Claude Code)"; exit 0;; esac\n'
FAILED, INTERRUPTED = ExecutionStatus.FAILED, ExecutionStatus.INTERRUPTED
UNCERTAIN = ExecutionStatus.UNCERTAIN


class OneSubscription:
    """One subscription whose CLI is a script."""

    def __init__(self, folder: Path) -> None:
        self.cli = folder / "claude"
        self.folder = folder
        self.subscription: Subscription | None = None
        self._count = 0

    def install(self, script: str) -> None:
        self.cli.write_text(f"#!/bin/sh\n{VERSION}{script}\n", encoding="utf-8")
        self.cli.chmod(0o700)

    async def open(self) -> Subscription:
        if self.subscription is None:
            runner = ProcessRunner(
                Installation(str(self.cli), None).executable,
                self.folder / "runs",
                max_output_bytes=200_000,
                stop_grace=timedelta(seconds=0.2),
            )
            around = Dependencies(
                runner=runner,
                environment=lambda _: {
                    "PATH": "/usr/bin:/bin",
                    "CLAUDE_CONFIG_DIR": str(self.folder),
                },
                clock=ManualClock(),
                actors=LonelyPeers(),
                leave=lambda _: None,
                policy=SubscriptionPolicy(),
                system_prompt="You are terse.",
                retention=timedelta(days=35),
            )
            ledger = await SqliteStores(self.folder).open_ledger("sub1")
            self.subscription = await Subscription.activate(spec("sub1"), ledger, around)
        return self.subscription

    async def run(self, timeout_seconds: float = 30) -> Execution:
        subscription = await self.open()
        self._count += 1
        intent = Intent(
            execution_id=f"exec_{self._count:028x}",
            request=ExecutionRequest(prompt="q"),
            session_id=SESSION,
            resumes=False,
            model="m",
            timeout_seconds=timeout_seconds,
            reserved_nano_usd=0,
            routing=Routing(score=0, reason="the only one"),
            created_at=ManualClock().now,
        )
        assert isinstance(await subscription.start(intent), Started)
        return await subscription.result(intent.execution_id, 30)


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[OneSubscription]:
    subscription = OneSubscription(tmp_path)
    yield subscription
    if subscription.subscription is not None:
        await subscription.subscription.close()


@pytest.mark.parametrize(
    ("script", "status", "kind"),
    [
        ("exit 0", FAILED, FailureKind.NO_RESULT),
        ("echo 'no json at all'; echo '{\"type\":'; exit 0", UNCERTAIN, FailureKind.NO_RESULT),
        ("echo 'error: unknown option' >&2; exit 1", FAILED, FailureKind.CLI_USAGE),
        ("exec sleep 600", FAILED, FailureKind.TIMEOUT),
        ("trap '' TERM INT; while :; do sleep 0.1; done", FAILED, FailureKind.TIMEOUT),
        ("exec yes", UNCERTAIN, FailureKind.OUTPUT_LIMIT),
        *(
            (f"kill -{number} $$", INTERRUPTED, FailureKind.KILLED)
            for number in (1, 2, 3, 6, 9, 11, 15)
        ),
        (f"echo '{INIT}'; kill -9 $$", UNCERTAIN, FailureKind.KILLED),
    ],
)
async def test_a_bad_cli_has_the_right_end_and_the_subscription_goes_on(
    subscription: OneSubscription, script: str, status: ExecutionStatus, kind: FailureKind
) -> None:
    subscription.install(script)
    execution = await subscription.run(timeout_seconds=1)
    subscription.install(f"echo '{INIT}'; echo '{RESULT}'")

    healthy = await subscription.run()

    report = await (await subscription.open()).next_report(-1, -1, 0)
    assert (status, kind) == (execution.status, execution.error and execution.error.type)
    assert (healthy.status, healthy.result) == (ExecutionStatus.SUCCEEDED, "fine")
    held = report.uncertain_usd
    assert (report.running, report.queued, report.weekly.reserved_usd) == (0, 0, held)


async def test_a_missing_cli_fails_with_the_remedy_and_one_that_is_installed_is_used(
    subscription: OneSubscription,
) -> None:
    execution = await subscription.run()
    subscription.install(f"echo '{INIT}'; echo '{RESULT}'")

    healthy = await subscription.run()

    assert (
        execution.status,
        execution.error and execution.error.type,
    ) == (INTERRUPTED, "not_started")
    assert "correct it, or leave it out" in (execution.error.message if execution.error else "")
    assert healthy.status == ExecutionStatus.SUCCEEDED
