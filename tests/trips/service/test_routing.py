"""Limits, failover and moving sessions, end to end: HTTP, Ray, the real CLI, SQLite. The quotas
are those of the stand-in's accounts, with windows of seconds.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.journal import MESSAGES, Recorded
from api.demo.standin.quota import five_hour_quota
from api.demo.standin.standin import Standin
from pool.money import nano_usd
from tests.support.services.actor_processes import actor_pid
from tests.support.services.service import Service, cost_of
from tests.support.services.shared_pool import TOKENS, SharedPool
from tests.support.suite.in_full import IS_FULL

pytestmark = pytest.mark.timeout(240)

ONE_ANSWER = 400_000
"""Nano-dollars."""
WINDOW_SECONDS = 25.0
"""Long enough for the requests of a test to fall into one window, on a slow machine."""
NOTES = ("<system-reminder>", "<command-name>", "<local-command")
LIMIT = Behaviour(kind="usage_limit", resets_in_seconds=1)
PIXEL = "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
Found = TypeVar("Found")


@pytest.fixture
def service(shared: SharedPool) -> Service:
    return shared.service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def standin(shared: SharedPool) -> Standin:
    """Without limits, before a pool whose subscriptions all take work."""
    return shared.standin


def eventually(
    condition: Callable[[], Found | None], seconds: float = 20, pause: float = 0.02
) -> Found:
    deadline = time.monotonic() + seconds
    while (value := condition()) is None:
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(pause)
    return value


def states(http: httpx.Client) -> dict[str, str]:
    found = http.get("/v1/subscriptions").json()["items"]
    return {each["id"]: each["state"] for each in found if each["id"] in TOKENS}


def execute(http: httpx.Client, prompt: str, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/executions", json={"prompt": prompt, **body})
    assert answer.status_code == 200, answer.text
    execution: dict[str, Any] = answer.json()
    return execution


def use_up(standin: Standin, subscription: str) -> None:
    """Have somebody outside the pool use up a subscription's five hours, which last some
    seconds here."""
    quota = five_hour_quota(
        1000 * ONE_ANSWER, length_seconds=WINDOW_SECONDS, used_nano_usd=1000 * ONE_ANSWER
    )
    standin.set_quota(quota, token=TOKENS[subscription])


def resets_at(standin: Standin, subscription: str) -> datetime:
    """In whole seconds, as the stand-in tells it."""
    now = datetime.now(UTC)
    exact = standin.meter(TOKENS[subscription]).windows[0].resets_at(now).timestamp()
    return datetime.fromtimestamp(math.ceil(exact), UTC)


def spent(http: httpx.Client) -> int:
    """What the pool's own ledgers say, asked of each owner."""
    return sum(
        nano_usd(record["usage"]["cost_usd"])
        for subscription in TOKENS
        for record in http.get(
            f"/v1/subscriptions/{subscription}/usage", params={"limit": 200}
        ).json()["items"]
    )


def asked(standin: Standin, subscription: str | None = None) -> list[Recorded]:
    return list(standin.requests.all(TOKENS[subscription] if subscription else None, path=MESSAGES))


def told(request: Recorded) -> list[dict[str, Any]]:
    """The turns of a request, without those that the CLI tells of itself."""
    return [each for each in (request.body or {})["messages"] if each["role"] != "system"]


def conversation(request: Recorded) -> list[tuple[str, str]]:
    """Who said what in a request, without the CLI's own notes, of what it was told before too."""
    return [
        (message["role"], part["text"].strip())
        for message in told(request)
        for part in message["content"]
        if part["type"] == "text" and not part["text"].startswith(NOTES)
    ]


def said_by_user(request: Recorded) -> list[str]:
    return [text for role, text in conversation(request) if role == "user"]


# -- limits --------------------------------------------------------------------------------------


def test_limits_are_hit_one_after_another_and_service_comes_back_by_the_clock(
    http: httpx.Client, standin: Standin
) -> None:
    before, answered, used_up = spent(http), [execute(http, "all is well")], list[str]()
    while len(used_up) < 2:
        subscription = routing_of(http)
        use_up(standin, subscription)
        used_up.append(subscription)
        answered.append(execute(http, f"{len(used_up)} of three have nothing left"))
    (last,) = TOKENS.keys() - set(used_up)
    use_up(standin, last)
    refused = http.post("/v1/executions", json={"prompt": "nobody has anything left"})
    told_at = datetime.now(UTC)
    refused_at_once = http.post("/v1/executions", json={"prompt": "still nobody"})

    opens_at = min(resets_at(standin, subscription) for subscription in TOKENS)
    retry_after = int(refused.headers["retry-after"])
    assert (refused.status_code, refused_at_once.status_code) == (429, 429), refused.text
    assert abs(told_at + timedelta(seconds=retry_after) - opens_at) < timedelta(seconds=1.5)
    assert answered[-1]["subscription_id"] == last
    assert [len(each["attempts"]) for each in answered] == [1, 2, 2]

    time.sleep(max(0.0, (opens_at - datetime.now(UTC)).total_seconds() + 0.2))
    with ThreadPoolExecutor(2) as callers:
        again = list(callers.map(lambda n: execute(http, f"again {n}"), range(2)))

    assert {"succeeded"} == {each["status"] for each in again}
    billed = standin.bill.total().cost_nano_usd
    assert billed == cost_of([*answered, *again]) == spent(http) - before


def test_a_conversation_goes_on_at_another_subscription_with_all_that_was_said(
    http: httpx.Client, standin: Standin
) -> None:
    first = execute(http, "turn one")
    session_id, home = first["session_id"], first["subscription_id"]
    second = execute(http, "turn two", session_id=session_id)
    standin.next(LIMIT, token=TOKENS[home])

    third = execute(http, "turn three", session_id=session_id)
    there = third["subscription_id"]
    fourth = execute(http, "turn four", session_id=session_id)

    assert there != home
    assert there == fourth["subscription_id"]
    assert [each["outcome"] for each in third["attempts"]] == ["usage_limit", "completed"]
    failed, moved, after = asked(standin)[-3:]
    expected = [
        *(("user", "turn one"), ("assistant", first["result"])),
        *(("user", "turn two"), ("assistant", second["result"]), ("user", "turn three")),
    ]
    assert conversation(failed) == conversation(moved) == expected
    assert conversation(after) == [*expected, ("assistant", third["result"]), ("user", "turn four")]
    assert [nano_usd(each["usage"]["cost_usd"]) for each in (third, fourth)] == [ONE_ANSWER] * 2
    session = http.get(f"/v1/sessions/{session_id}").json()
    assert session["subscription_id"] == there
    assert [
        (each["from_subscription_id"], each["to_subscription_id"]) for each in session["moves"]
    ] == [(home, there)]


def test_a_conversation_that_moves_there_and_back_keeps_every_turn_once(
    http: httpx.Client, standin: Standin
) -> None:
    turns = [execute(http, "turn 1")]
    numbers = range(1, 6 if IS_FULL else 4)
    for n in numbers[1:]:
        subscription = turns[-1]["subscription_id"]
        standin.next(LIMIT, token=TOKENS[subscription])
        turns.append(execute(http, f"turn {n}", session_id=turns[0]["session_id"]))
        http.post(f"/v1/subscriptions/{subscription}/resume")
        eventually(lambda: set(states(http).values()) == {"available"} or None)

    assert said_by_user(asked(standin)[-1]) == [f"turn {n}" for n in numbers]
    assert standin.bill.total().cost_nano_usd == cost_of(turns) == len(numbers) * ONE_ANSWER


def test_the_next_turn_waits_for_one_that_moves_and_follows_it(
    http: httpx.Client, standin: Standin
) -> None:
    first = execute(http, "turn one")
    session_id, home = first["session_id"], first["subscription_id"]
    standin.next(LIMIT.model_copy(update={"delay_seconds": 2}), token=TOKENS[home])
    with ThreadPoolExecutor(2) as callers:
        second = callers.submit(execute, http, "turn two", session_id=session_id)
        standin.wait_until(lambda: len(asked(standin)) == 2)
        third = callers.submit(execute, http, "turn three", session_id=session_id)
        ended = [second.result(60), third.result(60)]

    assert {"succeeded"} == {each["status"] for each in ended}
    assert {home}.isdisjoint(each["subscription_id"] for each in ended)
    assert said_by_user(asked(standin)[-1]) == ["turn one", "turn two", "turn three"]


def test_a_fork_begins_a_session_of_its_own_and_leaves_its_parent_as_it_was(
    http: httpx.Client, standin: Standin
) -> None:
    before = spent(http)
    first = execute(http, "turn one")
    parent = first["session_id"]
    second = execute(http, "turn two", session_id=parent)

    fork = execute(http, "another way", session_id=parent, fork_session=True)
    on_fork = execute(http, "further that way", session_id=fork["session_id"])
    third = execute(http, "turn three", session_id=parent)

    assert fork["session_id"] != parent
    assert on_fork["session_id"] == fork["session_id"]
    texts = [said_by_user(each) for each in asked(standin)[-3:]]
    assert texts == [
        ["turn one", "turn two", "another way"],
        ["turn one", "turn two", "another way", "further that way"],
        ["turn one", "turn two", "turn three"],
    ]
    everything = [first, second, fork, on_fork, third]
    assert [nano_usd(each["usage"]["cost_usd"]) for each in everything] == [ONE_ANSWER] * 5
    assert standin.bill.total().cost_nano_usd == 5 * ONE_ANSWER == spent(http) - before


def test_a_fork_runs_where_there_is_headroom_when_its_parents_subscription_hits_a_limit(
    http: httpx.Client, standin: Standin
) -> None:
    first = execute(http, "turn one")
    standin.next(LIMIT, token=TOKENS[first["subscription_id"]])

    fork = execute(http, "another way", session_id=first["session_id"], fork_session=True)

    assert fork["subscription_id"] != first["subscription_id"]
    assert said_by_user(asked(standin)[-1]) == ["turn one", "another way"]
    assert nano_usd(fork["usage"]["cost_usd"]) == ONE_ANSWER
    session = http.get(f"/v1/sessions/{first['session_id']}").json()
    assert (session["subscription_id"], session["moves"]) == (first["subscription_id"], [])


def test_streaming_and_background_requests_fail_over_as_waiting_ones_do(
    http: httpx.Client, standin: Standin
) -> None:
    standin.next(LIMIT, token=TOKENS[routing_of(http)])
    asked = {"prompt": "in pieces, and later", "stream": True, "background": True}
    location = http.post("/v1/executions", json=asked).headers["location"]
    streamed = http.get(f"{location}/events")
    ended = http.get(location, params={"wait_seconds": 50}).json()

    last = json.loads(streamed.text.split("data: ")[-1])["execution"]
    for execution in (last, ended):
        assert execution["status"] == "succeeded"
        assert [each["outcome"] for each in execution["attempts"]] == ["usage_limit", "completed"]
    assert standin.bill.total().cost_nano_usd == ONE_ANSWER


# -- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "holds"), [("SubscriptionShell", "sub1"), ("RouterShell", "directory")]
)
def test_kill_9_when_a_limit_was_hit_is_not_felt(
    http: httpx.Client, standin: Standin, service: Service, shell: str, holds: str
) -> None:
    before = spent(http)
    session_id = execute(http, "turn one", subscription_id="sub1")["session_id"]
    limit = {"delay_seconds": 1, "resets_in_seconds": 5}  # it still holds when the dead are back
    standin.next(LIMIT.model_copy(update=limit), token=TOKENS["sub1"])
    victim = eventually(lambda: actor_pid(service, shell, holds))
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(execute, http, "turn two", session_id=session_id)
        standin.wait_until(lambda: len(asked(standin)) == 2)
        eventually(lambda: not service.cli_processes() or None)
        os.kill(victim, signal.SIGKILL)
        execution = answer.result(90)

    assert execution["status"] == "succeeded"
    assert execution["subscription_id"] != "sub1"
    assert said_by_user(asked(standin)[-1]) == ["turn one", "turn two"]
    assert standin.bill.total().cost_nano_usd == 2 * ONE_ANSWER == spent(http) - before


# -- why -----------------------------------------------------------------------------------------


def test_the_route_that_is_told_is_the_route_that_is_taken_and_can_be_explained(
    http: httpx.Client, standin: Standin, service: Service
) -> None:
    for n in range(4 if IS_FULL else 1):
        routing = http.post("/v1/route", json={"prompt": "x"}).json()

        execution = execute(http, f"question {n}")

        assert routing["candidates"][0]["subscription_id"] == execution["subscription_id"]
        assert routing["reason"] == execution["routing"]["reason"]
    standin.next(LIMIT, token=TOKENS[routing_of(http)])
    failed_over = execute(http, "and now")

    explained = subprocess.run(
        [
            str(Path(sys.executable).with_name("claude-pool")),
            *("explain", failed_over["id"], "--url", service.url),
        ],
        env=service.environment
        | {"COLUMNS": "120", "NO_COLOR": "1", "CLAUDE_POOL_KEY": service.operator["x-api-key"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "usage_limit" in explained.stdout
    assert f"attempt 2: {failed_over['attempts'][0]['subscription_id']} failed" in explained.stdout


def routing_of(http: httpx.Client) -> str:
    """Where the next request goes."""
    best = http.post("/v1/route", json={"prompt": "x"}).json()["candidates"][0]
    return str(best["subscription_id"])


def test_images_reach_the_model_before_the_prompt(http: httpx.Client, standin: Standin) -> None:
    execute(http, "what is it?", images=[{"media_type": "image/gif", "data": PIXEL}])

    (request,) = asked(standin)
    (message,) = told(request)
    parts = [
        part["text"].strip() if part["type"] == "text" else part["source"]["data"]
        for part in message["content"]
    ]
    assert parts.index(PIXEL) < parts.index("what is it?")
