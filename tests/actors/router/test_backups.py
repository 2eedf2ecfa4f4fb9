from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.storage.backup import CONTENTS, Backup
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def test_a_backup_of_a_running_pool_can_take_its_place(
    local_pool: LocalPool, runner: FakeRunner, open_at: OpenPool
) -> None:
    first = await local_pool.client.execute(ask())
    runner.hold = True
    running = await local_pool.client.start(ask("runs"))

    backup = await local_pool.client.backup()
    runner.runs[1].end()
    await local_pool.client.result(running.id, wait_seconds=10)
    runner.place = "another machine"
    restored = await open_at(Path(backup.path), *(spec(id_) for id_ in backup.subscriptions))

    assert backup.subscriptions == ("sub1", "sub2", "sub3")
    assert first == await restored.client.result(first.id)
    unknown = await restored.client.result(running.id, wait_seconds=10)
    assert (unknown.status, len(runner.runs)) == (ExecutionStatus.UNCERTAIN, 2)


async def test_in_a_backup_no_session_goes_on_by_what_was_said(
    local_pool: LocalPool, open_at: OpenPool
) -> None:
    """It may have gone on since, with a transcript that is in no backup."""
    first = await local_pool.client.execute(ask())
    await local_pool.client.conversation_answered("c1", first.session_id, first.id)

    backup = await local_pool.client.backup()
    restored = await open_at(Path(backup.path), *(spec(id_) for id_ in backup.subscriptions))

    assert await local_pool.router.session_of_conversation("c1") == first.session_id
    assert await restored.router.session_of_conversation("c1") is None
    assert (await restored.client.session(first.session_id)).id == first.session_id


async def test_a_backup_says_what_it_holds_in_its_folder_too(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    backup = await local_pool.client.backup()

    folder = Path(backup.path)
    assert Backup.model_validate_json((folder / CONTENTS).read_text()) == backup
    assert backup.prompts_since == clock.now - timedelta(days=1)
    assert "those of a copy with it only if you do" in backup.holds
    assert (folder / CONTENTS).stat().st_mode & 0o777 == 0o600


async def test_a_backup_asks_the_reconciler_for_its_history(local_pool: LocalPool) -> None:
    asked: list[str] = []

    class Historian:
        async def backup(self, name: str) -> None:
            asked.append(name)

    local_pool.actors.the_reconciler = Historian()  # type: ignore[assignment]
    backup = await local_pool.client.backup()

    assert asked == [Path(backup.path).name]


async def test_a_backup_asked_for_again_is_the_same_one(local_pool: LocalPool) -> None:
    backups = [await local_pool.router.backup("monday") for _ in range(2)]

    assert backups[0].path == backups[1].path
