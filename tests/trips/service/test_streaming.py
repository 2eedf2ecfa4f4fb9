"""Streams end to end: HTTP, Ray, the real CLI and its spool, before a stand-in for the API."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.support.callers.sent_events import SLOWLY, Sent, events_of, is_whole
from tests.support.services.actor_processes import actor_pid
from tests.support.services.service import Service
from tests.support.services.shared_pool import SharedPool

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def service(shared_at_one: SharedPool) -> Service:
    return shared_at_one.service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


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


def test_killing_the_owner_in_the_middle_is_felt_by_nobody_who_reads_or_waits(
    http: httpx.Client, service: Service
) -> None:
    sent = list[Sent]()
    asked = {"prompt": SLOWLY, "stream": True, "subscription_id": "sub1"}
    beside = {"prompt": "[[standin slow seconds=4 chunks=8]] wait", "subscription_id": "sub1"}

    with (
        ThreadPoolExecutor(1) as caller,
        http.stream("POST", "/v1/executions", json=asked) as response,
    ):
        waits = caller.submit(http.post, "/v1/executions", json=beside)
        for event in events_of(response):
            sent.append(event)
            if len(sent) == 20:
                pid = actor_pid(service, "SubscriptionShell", "sub1")
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
        waited = waits.result().json()

    assert is_whole(sent)
    assert waited["status"] == "succeeded"
    ids = {sent[-1]["data"]["execution"]["id"], waited["id"]}
    records = http.get("/v1/subscriptions/sub1/usage", params={"limit": 100}).json()["items"]
    assert sorted(each["execution_id"] for each in records if each["execution_id"] in ids) == (
        sorted(ids)
    )


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
