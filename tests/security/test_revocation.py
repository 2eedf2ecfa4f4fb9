"""Streams of a key that is revoked, or that expires, end within seconds, each in its own form."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from api.web import authentication
from api.web.stream import revocation
from pool.keys.api_keys import KeySpec
from tests.support.callers.many_callers import Service, many_callers

WITHIN_SECONDS = 10.0
SAID = [{"role": "user", "content": "say yes"}]
STREAMED = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": SAID, "stream": True}
_names = count()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked at ten times as often as else."""
    monkeypatch.setattr(revocation, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(authentication, "REMEMBERED_SECONDS", 0.1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with many_callers(tmp_path_factory.mktemp("pool")) as service:
        service.runner.hold = True
        yield service
        for run in service.runner.runs:
            if not run.ending.done():
                service.portal.call(run.end)


def ends(service: Service, name: str, how: str) -> None:
    """Have a key open nothing any more."""
    if how == "expired":
        service.pool.clock.advance(timedelta(seconds=2))
        return
    keys = service["admin"].get("/v1/keys").json()["items"]
    id_ = next(each["id"] for each in keys if each["name"] == name)
    assert service["admin"].delete(f"/v1/keys/{id_}").status_code == 204


Open = Callable[[Service, str], Any]


def _events(service: Service, name: str) -> Any:
    return service[name].stream("GET", "/v1/events?after=0-0")


def _execution(service: Service, name: str) -> Any:
    body = {"prompt": "say yes", "stream": True}
    return service[name].stream("POST", "/v1/executions", json=body)


def _looking_on(service: Service, name: str) -> Any:
    execution = service.run(name, background=True)
    return service[name].stream("GET", f"/v1/executions/{execution['id']}/events")


def _messages(service: Service, name: str) -> Any:
    return service[name].stream("POST", "/v1/messages", json=STREAMED)


def _chat(service: Service, name: str) -> Any:
    return service[name].stream("POST", "/v1/chat/completions", json=STREAMED)


def _native(events: list[dict[str, Any]], data: Any) -> None:
    assert events[-1]["event"] == "error"
    assert (data["type"], data["status"]) == ("urn:claude-pool:key-ended", 401)


def _anthropics(events: list[dict[str, Any]], data: Any) -> None:
    assert events[-1]["event"] == "error"
    assert (data["type"], data["error"]["type"]) == ("error", "authentication_error")


def _openais(_: list[dict[str, Any]], data: Any) -> None:
    assert data["error"]["type"] == "authentication_error"


STREAMS: dict[str, tuple[Open, Callable[[list[dict[str, Any]], Any], None]]] = {
    "events of the pool": (_events, _native),
    "an execution": (_execution, _native),
    "events of an execution": (_looking_on, _native),
    "messages": (_messages, _anthropics),
    "chat": (_chat, _openais),
}


def read(answer: httpx.Response, begun: Callable[[], None]) -> list[dict[str, Any]]:
    """The events of a stream to its end; ``begun`` is called with the first."""
    found: list[dict[str, Any]] = [{}]
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name in {"event", "data"}:
            found[-1][name] = value
        elif not line and found[-1]:
            if len(found) == 1:
                begun()
            found.append({})
    return [each for each in found if each]


@pytest.mark.parametrize("how", ["revoked", "expired"])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_ends_with_its_key(service: Service, kind: str, how: str) -> None:
    name, (opened, told) = f"key-{next(_names)}", STREAMS[kind]
    expires_at = service.pool.clock.now + timedelta(seconds=1)
    service.make(KeySpec(name=name, scopes=("execute", "read"), expires_at=expires_at))
    known, ended_at = len(service.runner.runs), 0.0

    def begun() -> None:
        nonlocal ended_at
        ends(service, name, how)
        ended_at = time.monotonic()

    if kind in {"messages", "chat"}:  # they begin with the first word
        service.portal.start_task_soon(_speak, service, known)
    with opened(service, name) as answer:
        assert answer.status_code == 200
        events = read(answer, begun)

    assert time.monotonic() - ended_at < WITHIN_SECONDS
    told(events, json.loads(events[-1]["data"]))
    assert not [run for run in service.runner.runs[known:] if run.stopped]


async def _speak(service: Service, known: int) -> None:
    while len(service.runner.runs) <= known:
        await service.runner.arrived.wait()
    service.runner.runs[known].says("one", "two")


def test_a_stream_of_a_key_that_stays_goes_on_to_its_end(service: Service) -> None:
    service.make(KeySpec(name="stays", scopes=("execute",)))
    known = len(service.runner.runs)

    def begun() -> None:
        time.sleep(0.25)  # it is looked at twice meanwhile
        service.portal.call(service.runner.runs[known].end)

    with _execution(service, "stays") as answer:
        events = read(answer, begun)

    assert events[-1]["event"] == "result"
