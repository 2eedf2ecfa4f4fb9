"""kill -9, over and over: of a store that commits, of the actors and of the whole service while
the real CLI runs. Nobody who waits feels an actor's death; nothing acknowledged is lost; the
ledgers equal the stand-in's bill to the nano-dollar.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from tests.support.chaos.forge import Forge
from tests.support.chaos.invariants import check_told, checked_ledger
from tests.support.chaos.one_subscription import Home, eventually, full
from tests.support.chaos.service_under_fire import (
    SUBSCRIPTIONS,
    Callers,
    actor_pid,
    argv,
    check_service,
    kill,
    marked,
    processes,
    until,
)
from tests.support.chaos.tally import injected
from tests.support.chaos.tool_callers import ToolCallers, waiting_processes
from tests.support.clis.little_cli import lives
from tests.support.services.service import Service, write_config
from tests.support.values.examples import NOON

RAYS_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
STORE_KILLS = full(8, 300)
ACTOR_KILLS = full(1, 60)
ROUTER_KILLS = full(1, 10)
SERVICE_KILLS = full(1, 10)
TOOL_KILLS = full(2, 24)
VICTIMS = ("process", "subscription", "router", "service")
"""Of callers who run tools, in turn."""
CALLS = 3
"""Runs that are under way when the whole service dies."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home").prepare()
    yield home
    home.clear()


@pytest.mark.timeout(900)
async def test_a_store_that_is_killed_again_and_again_keeps_all_it_acknowledged(home: Home) -> None:
    """Eight writers at once, so that the kill meets group commits, and log and file at any size."""
    with injected(STORE_KILLS):
        with Forge.lit() as forge:
            for life in range(STORE_KILLS):
                before = len(home.told())
                pid = forge.begin(home, "write", prefix=life)
                enough = before + 1 + 13 * (life % 7)
                await eventually(lambda enough=enough: len(home.told()) > enough)
                os.kill(pid, signal.SIGKILL)
                assert forge.end() == -signal.SIGKILL
        ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
        found = await checked_ledger(ledger, NOON)
        await ledger.close()

        check_told(found, home.told())
        assert found.recovery.epoch == STORE_KILLS + 1
        assert found.cost_nano_usd == 30 * len(found.records)


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app(Standin()), port=0) as server:
        yield server


@pytest.fixture(scope="module")
def service(api: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    config = write_config(
        tmp_path_factory.mktemp("pool"),
        api.url,
        subscriptions=SUBSCRIPTIONS,
        slots=3,
        processes={"keep_session_seconds": 10, "reuse": "same_key"},
    )
    service = marked(Service(config))
    service.start()
    yield service
    service.stop()
    try:
        until(lambda: not left_behind(service))
    except AssertionError:
        left = left_behind(service)
        for pid in left:
            kill(pid)
        raise AssertionError(f"left behind: {left}") from None


def left_behind(service: Service) -> dict[int, str]:
    """What runs on without it; agents of a Ray that was killed notice it after a minute."""
    left = {pid: argv(pid) for pid in processes(service)}
    return {pid: words for pid, words in left.items() if not words.startswith(RAYS_AGENTS)}


@pytest.fixture(scope="module")
def asked() -> set[str]:
    """The ids of everything that was asked of the service, in whichever test."""
    return set()


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def billed(api: Server) -> int:
    return api.standin.bill.total().cost_nano_usd


def slow(seconds: float, tag: str) -> str:
    return f"[[standin slow seconds={seconds} chunks=8]] {tag}"


@pytest.mark.timeout(1800)
def test_callers_do_not_feel_that_the_subscription_is_killed_however_their_runs_came_by(
    http: httpx.Client, service: Service, api: Server, asked: set[str]
) -> None:
    """A process that is started, kept and cleared for them is at work as it is killed."""
    for life in range(ACTOR_KILLS):
        before = Callers(service)
        for number in range(2):
            before.ask(f"w{life}-{number}", slow(0.2, f"{life}"), subscription_id="sub1")
        begun = check_answers(before, asked)

        callers = Callers(service)
        session = begun[f"w{life}-0"]["session_id"]
        callers.ask(f"kept-{life}", slow(4, f"k{life}"), session_id=session)
        until(lambda: len(service.cli_processes()) == 1)
        callers.ask(f"reused-{life}", slow(4, f"r{life}"), subscription_id="sub1")
        callers.ask(f"cold-{life}", slow(4, f"c{life}"), subscription_id="sub1", max_turns=3)
        until(lambda: len(service.cli_processes()) == 3)
        with injected():
            kill(until(lambda: actor_pid(service, "SubscriptionShell", "/sub1/")))

        ended = check_answers(callers, asked)
        for key, execution in ended.items():
            assert key.startswith(execution["attempts"][-1]["process"])
    check_service(http, billed(api), asked)


@pytest.mark.timeout(900)
def test_callers_do_not_feel_that_the_router_and_a_subscription_are_killed_together(
    http: httpx.Client, service: Service, api: Server, asked: set[str]
) -> None:
    with injected(2 * ROUTER_KILLS):
        for life in range(ROUTER_KILLS):
            callers = Callers(service)
            for subscription in ("sub1", "sub2"):
                callers.ask(
                    f"r{life}-{subscription}", slow(3, f"{life}"), subscription_id=subscription
                )
            until(lambda: len(service.cli_processes()) == 2)
            victims = [
                until(lambda: actor_pid(service, "RouterShell", "directory")),
                until(lambda: actor_pid(service, "SubscriptionShell", "/sub2/")),
            ]
            for pid in victims:
                kill(pid)

            check_answers(callers, asked)
        check_service(http, billed(api), asked)


@pytest.mark.timeout(1800)
def test_after_each_death_of_the_whole_service_every_answer_is_found_by_its_id(
    http: httpx.Client, service: Service, api: Server, asked: set[str]
) -> None:
    """Some runs go on while nobody is there; the same key asks for the same execution again."""
    with injected(SERVICE_KILLS):
        for life in range(SERVICE_KILLS):
            started = {}
            for number in range(CALLS):
                key, body = f"s{life}-{number}", {"prompt": slow(2, f"{life}-{number}")}
                answer = http.post(
                    "/v1/executions",
                    json={**body, "background": True},
                    headers={"Idempotency-Key": key},
                )
                assert answer.status_code == 202, answer.text
                started[answer.json()["id"]] = (key, body)
            asked.update(started)
            until(lambda: len(service.cli_processes()) == CALLS)

            kill_service(service, life)
            service.start()

            for id_, (key, body) in started.items():
                found = http.get(f"/v1/executions/{id_}", params={"wait_seconds": 30}).json()
                assert found["status"] == "succeeded", found
                again = http.post("/v1/executions", json=body, headers={"Idempotency-Key": key})
                assert (again.status_code, again.json()) == (200, found)
        check_service(http, billed(api), asked)
        until(lambda: not service.cli_processes())
        until(lambda: not service.run_directories())


@pytest.mark.timeout(1800)
def test_callers_whose_tools_run_get_their_answers_whatever_is_killed_meanwhile(
    http: httpx.Client, service: Service, api: Server, asked: set[str]
) -> None:
    """While the model waits for them, or as their results are taken, given and answered."""
    with injected(TOOL_KILLS):
        for life in range(TOOL_KILLS):
            victim = VICTIMS[life % len(VICTIMS)]
            is_held = victim == "process" or (life + life // len(VICTIMS)) % 2 == 0
            callers = ToolCallers(service)
            for number in range(2):
                callers.ask(f"tools{life}-{number}", subscription_id="sub1")
            until(lambda callers=callers: callers.at_turn == 2)
            if not is_held:
                callers.release()
            kill_while_tools_run(service, victim, life)
            callers.release()

            for key, answer in callers.gathered().items():
                assert answer["status"] == "succeeded", f"{key}: {answer}"
                by_others = victim == "process"
                assert (answer["continues"] is not None) == by_others, f"{key}: {answer}"
            asked.update(callers.ids)
        check_service(http, billed(api), asked)
        until(lambda: not service.cli_processes())
        until(lambda: not service.run_directories())


def kill_while_tools_run(service: Service, victim: str, life: int) -> None:
    match victim:
        case "process":
            pids = waiting_processes(service)
            for pid in pids:
                kill(pid)
            until(lambda: not any(lives(pid) for pid in pids))
        case "service":
            kill_service(service, life // len(VICTIMS))
            service.start()
        case "router":
            kill(until(lambda: actor_pid(service, "RouterShell", "directory")))
        case _:
            kill(until(lambda: actor_pid(service, "SubscriptionShell", "/sub1/")))


def kill_service(service: Service, life: int) -> None:
    """Now the serving process, now all of Ray with it; never a run, which belongs to neither."""
    service.kill()
    if life % 2:
        for pid in processes(service):
            if not is_of_a_run(service, pid):
                kill(pid)


def is_of_a_run(service: Service, pid: int) -> bool:
    """A CLI, or its supervisor, which may not have gone to its directory yet."""
    try:
        if b"from supervisor." in Path(f"/proc/{pid}/cmdline").read_bytes():
            return True
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(service.data_dir)
    except OSError:
        return False


def check_answers(callers: Callers, asked: set[str]) -> dict[str, dict[str, Any]]:
    """Each who waited got a 200 with an answer; these, by key."""
    executions = {}
    for key, answer in callers.gathered().items():
        assert isinstance(answer, httpx.Response), f"{key}: {answer!r}"
        assert answer.status_code == 200, answer.text
        execution = answer.json()
        assert execution["status"] == "succeeded", execution
        asked.add(execution["id"])
        executions[key] = execution
    return executions
