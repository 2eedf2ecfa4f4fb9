from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.web.problems.kinds import KINDS, kind_of
from api.web.problems.problem import problem_of
from pool.errors import (
    ActorLost,
    CommitUnknown,
    Conflict,
    Exhausted,
    Fenced,
    PoolError,
    StoreError,
    Unavailable,
)
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON

PROBLEM = "application/problem+json"


def every_error(root: type[PoolError]) -> list[type[PoolError]]:
    return [root, *(found for each in root.__subclasses__() for found in every_error(each))]


def failing_with(app: FastAPI, error: Exception) -> None:
    """Let ``GET /v1/pool`` fail."""

    async def fail() -> None:
        raise error

    app.state.client.pool = fail


@pytest.mark.parametrize("error", every_error(PoolError))
def test_every_error_of_the_tree_has_a_line_of_its_own_or_of_its_parent(
    error: type[PoolError],
) -> None:
    named = [each for each in error.__mro__ if each in KINDS]

    assert error is PoolError or named[0] is not PoolError


@pytest.mark.parametrize("error", [Fenced("s", "p"), CommitUnknown("s", "p")])
def test_a_store_in_trouble_is_a_503_whatever_the_trouble(error: StoreError) -> None:
    assert kind_of(error).status == 503


def test_a_problem_names_the_execution_and_the_reason() -> None:
    problem = problem_of(Unavailable("exec_1", "sub1: paused"))

    assert problem.model_dump(exclude_none=True) == {
        "type": "urn:claude-pool:unavailable",
        "title": "No subscription is usable",
        "status": 503,
        "detail": "no subscription can serve this request: sub1: paused",
        "execution_id": "exec_1",
        "reason": "sub1: paused",
    }


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Exhausted("exec_1", "full", NOON + timedelta(seconds=90.2)), "91"),
        (Exhausted("exec_1", "full", NOON - timedelta(hours=1)), "1"),
        (Exhausted("exec_1", "full", NOON), "1"),
        (Exhausted("exec_1", "full", None), "30"),
        (ActorLost("router", "it is not there"), "2"),
        (StoreError("s", "disk full"), "5"),
    ],
)
async def test_retry_after_is_whole_seconds_and_at_least_one(
    app: FastAPI, http: AsyncClient, error: PoolError, seconds: str
) -> None:
    failing_with(app, error)

    response = await http.get("/v1/pool")

    assert response.headers["retry-after"] == seconds


async def test_what_does_not_pass_by_waiting_has_no_retry_after(
    app: FastAPI, http: AsyncClient
) -> None:
    failing_with(app, Conflict("no"))

    response = await http.get("/v1/pool")

    assert response.status_code == 409
    assert "retry-after" not in response.headers


async def test_the_unexpected_is_a_500_that_tells_nothing_here_or_in_the_log(
    app: FastAPI, http: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    failing_with(app, RuntimeError("the-secret-plan"))

    with caplog.at_level(logging.ERROR):
        response = await http.get("/v1/pool")

    assert response.status_code == 500
    assert response.headers["content-type"] == PROBLEM
    assert "the-secret-plan" not in response.text
    (record,) = caplog.records
    assert "the-secret-plan" not in record.getMessage()


async def test_an_unknown_route_is_a_problem(http: AsyncClient) -> None:
    for path in ("/nothing", "/v1/nothing", "/v1/executions/"):
        response = await http.get(path)

        assert response.status_code == 404
        assert response.headers["content-type"] == PROBLEM
        assert response.json()["type"] == "urn:claude-pool:no-such-route"


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(http: AsyncClient) -> None:
    response = await http.put("/v1/pool")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET"
    assert response.headers["content-type"] == PROBLEM


async def test_a_lost_part_of_the_pool_is_a_503_with_the_id_of_the_execution(
    local_pool: LocalPool, http: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.client.patience.LOST_SECONDS", -1)
    local_pool.actors.the_router = None

    response = await http.post("/v1/executions", json={"prompt": "say yes"})

    assert response.status_code == 503
    assert response.json()["type"] == "urn:claude-pool:peer-lost"
    assert response.json()["execution_id"].startswith("exec_")


async def test_an_endless_name_of_a_field_is_cut(http: AsyncClient) -> None:
    body = json.dumps({"prompt": "x", "y" * 100_000: 1, **{f"z{n}": 1 for n in range(100)}})

    response = await http.post(
        "/v1/executions", content=body, headers={"content-type": "application/json"}
    )

    assert response.status_code == 422
    assert len(response.content) < 10_000
    assert len(response.json()["errors"]) == 20
