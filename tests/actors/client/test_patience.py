"""What a caller waits for, and what it is told where that does not come."""

from __future__ import annotations

import pytest

from actors.client import patience
from actors.client.patience import patiently
from pool.errors import ActorLost, CommitUnknown, PoolError, StoreAway, StoreError


class Failing:
    """Fails with each of these, then answers."""

    def __init__(self, *errors: PoolError) -> None:
        self._errors = list(errors)

    async def ask(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ASK_AGAIN_SECONDS", 0.001)


async def test_what_is_away_for_a_while_is_asked_until_it_is_back() -> None:
    passing = (
        ActorLost("router", "it died"),
        StoreAway("postgresql", "it is away"),
        CommitUnknown("postgresql", "it went away in a commit"),
    )

    assert await patiently("e1", Failing(*passing).ask) == "answer"


async def test_what_stays_away_is_told_with_the_id_of_the_execution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LOST_SECONDS", 0.01)
    monkeypatch.setattr(patience, "STORE_SECONDS", 0.01)

    for error in (ActorLost("router", "it died"), StoreAway("postgresql", "it is away")):
        with pytest.raises(type(error)) as told:
            await patiently("e1", Failing(*[error] * 1000).ask)

        assert told.value.execution_id == "e1"


async def test_what_does_not_pass_is_told_at_once() -> None:
    with pytest.raises(StoreError, match="the disk is full"):
        await patiently("e1", Failing(StoreError("data", "the disk is full")).ask)
