"""Who hangs up while a request goes from one subscription to the next.

Where hanging up ends a request, no further subscription may begin it, wherever on the way it is:
what nobody waits for would be billed. Where it does not, it goes on as if nothing had happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.server.listening import bound, listening
from pool.config import ServerSettings
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus
from tests.support.clis.scripted_cli import failed
from tests.support.field.field_cases import Case, Comes, beside
from tests.support.field.field_pool import Field, OpenField
from tests.support.suite.waiting import until

WORDS = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
ENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "waiting": ("/v1/executions", {"prompt": "hi", "cancel_on_disconnect": True}),
    "streaming": ("/v1/executions", {"prompt": "hi", "cancel_on_disconnect": True, "stream": True}),
    "messages": ("/v1/messages", WORDS),
    "messages-streaming": ("/v1/messages", {**WORDS, "stream": True}),
    "chat": ("/v1/chat/completions", WORDS),
    "chat-streaming": ("/v1/chat/completions", {**WORDS, "stream": True}),
}
GOES_ON: dict[str, tuple[str, dict[str, Any]]] = {
    "waiting": ("/v1/executions", {"prompt": "hi"}),
    "streaming": ("/v1/executions", {"prompt": "hi", "stream": True}),
    "background": (
        "/v1/executions",
        {"prompt": "hi", "background": True, "cancel_on_disconnect": True},
    ),
}


OVERLOADED = Case("overloaded", beside(failed(529, "overloaded_error", "Overloaded")), Comes())


class Gate:
    """Holds a call back from the moment it is made until it is opened."""

    def __init__(self, owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reached, self._open = asyncio.Event(), asyncio.Event()
        call = getattr(owner, name)

        async def held(*args: Any, **named: Any) -> Any:
            self._reached.set()
            await self._open.wait()
            return await call(*args, **named)

        monkeypatch.setattr(owner, name, held)

    async def reached(self) -> None:
        await asyncio.wait_for(self._reached.wait(), 20)

    def opens(self) -> None:
        self._open.set()


def before_anybody_is_chosen(field: Field, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(field.pool.router, "hand_off", monkeypatch)


def before_the_chosen_one_is_asked(field: Field, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(field.pool.actors.subscription("sub2"), "start", monkeypatch)


PLACES = [before_anybody_is_chosen, before_the_chosen_one_is_asked]
Place = Callable[[Field, pytest.MonkeyPatch], Gate]


@pytest.fixture
async def field(open_field: OpenField) -> Field:
    """The first of two subscriptions is asked first, and is overloaded."""
    return await open_field(OVERLOADED, as_processes=True)


@pytest.fixture
async def web(field: Field, app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Over a socket, on which a caller can hang up."""
    with bound(ServerSettings(port=0)) as listener:
        async with listening(app, listener) as url, AsyncClient(base_url=url, timeout=30) as http:
            yield http


async def hung_up(
    web: AsyncClient, path: str, body: dict[str, Any], gate: Gate, **how: Any
) -> None:
    """Ask, and hang up while the request is on its way to the second subscription."""
    asking = asyncio.create_task(web.post(path, json=body, **how))
    await gate.reached()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def only(field: Field) -> Execution:
    """The one execution, once it has ended."""
    (listed,) = (await field.pool.client.executions()).items
    return await field.pool.client.result(listed.id, wait_seconds=20)


async def is_told(field: Field) -> bool:
    """Whether whoever has the execution, or is to have it, knows that it was cancelled."""
    (listed,) = (await field.pool.client.executions()).items
    owners = [each._executions for each in field.pool.actors.subscriptions.values()]
    here = [await each.was_cancelled(listed.id) for each in owners]
    return any(here) or any(listed.id in each._cancelled_ahead for each in owners)


def runs_of(folder: Path, id_: str) -> int:
    """How often the CLI of a subscription was given something to answer."""
    return len(list((folder / id_ / "scripted").glob("turn-*")))


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("place", PLACES)
async def test_who_hangs_up_on_the_way_starts_nobody_else(
    field: Field,
    web: AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Place,
    way: str,
) -> None:
    gate = place(field, monkeypatch)

    await hung_up(web, *ENDS[way], gate)
    await until(lambda: is_told(field), 20)
    gate.opens()
    ended = await only(field)

    assert ended.status is ExecutionStatus.CANCELLED
    assert [each.subscription_id for each in ended.attempts] == ["sub1"]
    assert (runs_of(tmp_path, "sub1"), runs_of(tmp_path, "sub2")) == (1, 0)


@pytest.mark.parametrize("way", GOES_ON)
async def test_what_goes_on_without_its_caller_goes_on_elsewhere_too(
    field: Field, web: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    gate = before_anybody_is_chosen(field, monkeypatch)

    await hung_up(web, *GOES_ON[way], gate)
    gate.opens()
    ended = await only(field)

    assert (ended.status, ended.subscription_id) == (ExecutionStatus.SUCCEEDED, "sub2")
    assert (runs_of(tmp_path, "sub1"), runs_of(tmp_path, "sub2")) == (1, 1)


async def test_a_caller_with_a_key_finds_what_went_on_elsewhere(
    field: Field, web: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "order-1"}
    gate = before_anybody_is_chosen(field, monkeypatch)

    await hung_up(web, "/v1/messages", WORDS, gate, headers=key)
    gate.opens()
    again = await web.post("/v1/messages", json=WORDS, headers=key)

    assert again.json()["content"] == [{"type": "text", "text": "yes"}]
    assert runs_of(tmp_path, "sub2") == 1
