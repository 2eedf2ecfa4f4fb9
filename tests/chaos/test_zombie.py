"""An owner that is frozen while the next one takes over, and wakes up afterwards.

For SQLite the lock is the kernel's: it is held by a stopped process too. So the next owner either
ends the stopped one and takes over, or says whom it waits for; never do two of them write.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pool.errors import StoreBusy
from pool.storage.ledger.ledger import Ledger
from tests.support.chaos.forge import Forge, a_record
from tests.support.chaos.invariants import check_told, checked_ledger
from tests.support.chaos.one_subscription import Home, eventually
from tests.support.chaos.tally import injected
from tests.support.values.examples import NOON


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home").prepare()
    yield home
    home.clear()


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge.lit() as forge:
        yield forge


async def opened(home: Home, wait_seconds: float) -> Ledger | StoreBusy:
    try:
        return await home.stores.open_ledger("sub1", wait_seconds=wait_seconds)
    except StoreBusy as busy:
        return busy


def wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("wait_seconds", [0.0, 2.0])
async def test_a_frozen_owner_is_ended_or_named_and_never_writes_beside_the_next(
    forge: Forge, home: Home, wait_seconds: float
) -> None:
    with injected():
        old = forge.begin(home, "hold")
        try:
            await eventually(home.told)
            os.kill(old, signal.SIGSTOP)

            new = await opened(home, wait_seconds)
            (home.folder / "go-on").touch()
            if isinstance(new, StoreBusy):
                assert f"process {old}" in str(new)
                wake(old)
                # It goes on, or was ended too late for the wait_seconds of whoever asked.
                code = forge.end()
                assert code in {0, -signal.SIGKILL}
                new = await home.stores.open_ledger("sub1", wait_seconds=20)
                after = {"late"} if code == 0 else set()
            else:
                after = {"of the next"}
                assert await new.record(a_record("of the next"))
                wake(old)
                await eventually(lambda: is_gone(old) or len(home.told()) > 1)
        finally:
            wake(old)

        found = await checked_ledger(new, NOON)
        await new.close()
        check_told(found, home.told())
        names = {record.id for record in found.records}
        assert names == {"early", *after}


async def test_an_owner_that_sleeps_and_wakes_up_unchallenged_goes_on(
    forge: Forge, home: Home
) -> None:
    """A machine that was suspended: nobody has taken over, so nothing is refused."""
    old = forge.begin(home, "hold")
    await eventually(home.told)
    os.kill(old, signal.SIGSTOP)
    (home.folder / "go-on").touch()
    wake(old)

    assert forge.end() == 0
    assert home.told() == [["kept", "early"], ["kept", "late"]]


async def test_a_live_owner_is_not_ended_by_who_wants_its_place(forge: Forge, home: Home) -> None:
    old = forge.begin(home, "hold")
    await eventually(home.told)

    new = await opened(home, wait_seconds=0.5)
    (home.folder / "go-on").touch()

    assert isinstance(new, StoreBusy)
    assert f"process {old}" in str(new)
    assert forge.end() == 0
    assert home.told() == [["kept", "early"], ["kept", "late"]]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True
