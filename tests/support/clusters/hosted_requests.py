"""Requests to a pool on hosts, which may be refused while hosts and databases go and come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.clusters.hosted_pool import eventually

SLOTS = 2
PAUSE_SECONDS = 0.4
"""Between two requests, or they take the cores from who comes up."""


def add(http: httpx.Client, id_: str, **spec: Any) -> None:
    """Add a subscription, once it can be."""
    wanted = {"id": id_, "max_concurrent": SLOTS, **spec}
    eventually(lambda: http.post("/v1/subscriptions", json=wanted).status_code == 201)


def post(http: httpx.Client, prompt: str, **of: Any) -> httpx.Response:
    return http.post("/v1/executions", json={"prompt": prompt, **of})


def answer_to(http: httpx.Client, prompt: str, **of: Any) -> Any:
    """What a request is answered that has to be."""
    answered = post(http, prompt, **of)
    assert answered.is_success, answered.text
    return answered.json()


@contextmanager
def asking(http: httpx.Client, what: str) -> Iterator[list[httpx.Response]]:
    """Ask for short runs, one after the other, and gather the answers."""
    answers: list[httpx.Response] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(PAUSE_SECONDS):
            answers.append(post(http, f"{what} {len(answers)}."))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()


def charges(http: httpx.Client, id_: str) -> Counter[str]:
    """How often each execution of a subscription was charged."""
    page = http.get(f"/v1/subscriptions/{id_}/usage", params={"limit": 100}).json()
    return Counter(each["execution_id"] for each in page["items"])
