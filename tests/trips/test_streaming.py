"""Streams end to end: HTTP, Ray, the real CLI and its spool, before a stand-in for the API."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from service import Service, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin

pytestmark = pytest.mark.timeout(240)

WORDS = " ".join(f"word{n}" for n in range(200))
SLOWLY = f"[[standin slow seconds=6 chunks=60]] [[standin text={WORDS}]]"
Sent = dict[str, Any]


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app(Standin()), port=0) as server:
        yield server


@pytest.fixture(scope="module")
def service(api: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(write_config(tmp_path_factory.mktemp("pool"), api.url, subscriptions=1))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def events_of(response: httpx.Response) -> Iterator[Sent]:
    fields: Sent = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
        elif not line and fields:
            yield {**fields, "arrived_at": time.monotonic()}
            fields = {}


def text_of(sent: list[Sent]) -> str:
    return "".join(each["data"]["text"] for each in sent if each["event"] == "text")


def is_whole(sent: list[Sent]) -> bool:
    """Everything once, in order, and the result last."""
    ids = [each["id"] for each in sent]
    result = sent[-1]["data"]["execution"]
    return (
        len(set(ids)) == len(ids)
        and sent[0]["event"] == "attempt"
        and [each["event"] for each in sent].count("result") == 1
        and result["status"] == "succeeded"
        and text_of(sent) == result["result"] == WORDS
    )


def owner_pid(service: Service, subscription_id: str) -> int:
    """The process that has a subscription's ledger open."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if b"SubscriptionShell" not in (entry / "cmdline").read_bytes():
                    continue
                files = {str(fd.readlink()) for fd in (entry / "fd").iterdir()}
            except OSError:
                continue
            if any(str(service.data_dir) in each and subscription_id in each for each in files):
                return int(entry.name)
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def streamed(http: httpx.Client, prompt: str, **body: Any) -> list[Sent]:
    asked = {"prompt": prompt, "stream": True, **body}
    with http.stream("POST", "/v1/executions", json=asked) as response:
        assert response.status_code == 200
        return list(events_of(response))


def test_the_first_word_arrives_long_before_the_end(http: httpx.Client) -> None:
    sent = streamed(http, SLOWLY)

    words = [each for each in sent if each["event"] == "text"]
    assert is_whole(sent)
    assert len(words) >= 50
    assert sent[-1]["arrived_at"] - words[0]["arrived_at"] > 4
    gaps = [later["arrived_at"] - each["arrived_at"] for each, later in pairwise(words)]
    assert max(gaps) < 2


def test_killing_the_owner_in_the_middle_is_not_felt_by_who_reads(
    http: httpx.Client, service: Service
) -> None:
    sent = list[Sent]()
    asked = {"prompt": SLOWLY, "stream": True, "subscription_id": "sub1"}

    with http.stream("POST", "/v1/executions", json=asked) as response:
        for event in events_of(response):
            sent.append(event)
            if len(sent) == 20:
                os.kill(owner_pid(service, "sub1"), signal.SIGKILL)

    assert is_whole(sent)


def test_after_kill_9_of_the_whole_service_a_reader_goes_on_where_it_was(service: Service) -> None:
    sent = list[Sent]()
    asked = {"prompt": SLOWLY, "stream": True}
    with service.client() as http, http.stream("POST", "/v1/executions", json=asked) as response:
        events = events_of(response)
        sent += islice(events, 10)
        service.kill()
        with pytest.raises(httpx.TransportError):
            sent.extend(events)
    location = response.headers["location"]

    service.start()
    headers = {"Last-Event-ID": sent[-1]["id"]}
    with (
        service.client() as http,
        http.stream("GET", f"{location}/events", headers=headers) as response,
    ):
        sent += events_of(response)

    assert is_whole(sent)


def test_every_reader_of_a_run_reads_the_same(http: httpx.Client) -> None:
    asked = {"prompt": SLOWLY, "stream": True, "background": True}
    location = http.post("/v1/executions", json=asked).headers["location"]
    seen = dict[int, list[Sent]]()

    def read(number: int) -> None:
        with http.stream("GET", f"{location}/events") as response:
            seen[number] = list(events_of(response))

    readers = [threading.Thread(target=read, args=(number,)) for number in range(10)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)

    assert len(seen) == 10
    assert all(is_whole(each) for each in seen.values())
    assert len({tuple(event["id"] for event in each) for each in seen.values()}) == 1
