from __future__ import annotations

from collections.abc import Callable

import pytest
from httpx import AsyncClient

from api.keys import ANYBODY, Keys, Unauthorized
from pool.config import ApiKeySpec
from pool.errors import ConfigError

KeyedHttp = Callable[..., AsyncClient]

SUB1 = "/v1/subscriptions/sub1"
WORK = {"prompt": "say yes"}


async def test_nobody_enters_without_a_key(keyed: KeyedHttp) -> None:
    response = await keyed(None).post("/v1/executions", content=b"no json at all")

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["wrong", "test-key-", "test-key-ee", "t\u00e4st"])
async def test_a_wrong_key_is_none(keyed: KeyedHttp, key: str) -> None:
    response = await keyed(key).get("/v1/pool")

    assert response.status_code == 401
    assert key not in response.text


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_a_key_may_come_in_either_header(keyed: KeyedHttp, header: str) -> None:
    response = await keyed("test-key-r", header).get("/v1/pool")

    assert response.status_code == 200


ALLOWED = [
    ("execute", "POST", "/v1/executions", WORK),
    ("execute", "POST", "/v1/executions/exec_x/cancel", None),
    ("read", "GET", "/v1/executions", None),
    ("read", "GET", "/v1/executions/exec_x", None),
    ("read", "GET", "/v1/subscriptions", None),
    ("read", "GET", SUB1, None),
    ("read", "GET", f"{SUB1}/usage", None),
    ("read", "GET", f"{SUB1}/blocks", None),
    ("read", "GET", f"{SUB1}/health", None),
    ("read", "GET", "/v1/pool", None),
    ("admin", "POST", "/v1/subscriptions", {"id": "sub9"}),
    ("admin", "POST", "/v1/backups", None),
    ("admin", "PATCH", SUB1, {"weight": 2}),
    ("admin", "DELETE", SUB1, None),
    ("admin", "POST", f"{SUB1}/pause", None),
    ("admin", "POST", f"{SUB1}/resume", None),
    ("admin", "POST", f"{SUB1}/drain", None),
    ("admin", "POST", f"{SUB1}/usage", {"models": {"m": {"cost_usd": 1}}}),
]


@pytest.mark.parametrize(("scope", "method", "path", "body"), ALLOWED)
async def test_each_route_wants_its_scope_and_names_it(
    keyed: KeyedHttp, scope: str, method: str, path: str, body: dict[str, object] | None
) -> None:
    lacking = "test-key-r" if scope == "execute" else "test-key-e"

    refused = await keyed(lacking).request(method, path, json=body)
    granted = await keyed("test-key-a").request(method, path, json=body)

    assert refused.status_code == 403
    assert repr(scope) in refused.json()["detail"]
    assert granted.status_code not in {401, 403}


async def test_a_key_of_another_caller_never_meets_the_same_execution(keyed: KeyedHttp) -> None:
    headers = {"Idempotency-Key": "k-1"}

    one = await keyed("test-key-e").post("/v1/executions", json=WORK, headers=headers)
    other = await keyed("test-key-a").post("/v1/executions", json=WORK, headers=headers)

    assert one.json()["id"] != other.json()["id"]


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
async def test_what_tells_no_secrets_is_open(keyed: KeyedHttp, path: str) -> None:
    assert (await keyed(None).get(path)).status_code == 200


def test_without_keys_everybody_may_do_everything() -> None:
    assert Keys({}).caller("") == ANYBODY
    assert {"execute", "read", "admin"} == ANYBODY.scopes


def test_a_key_whose_variable_is_not_set_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"api_keys\[0\].key_env: .*CI_KEY is not set"):
        Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {})


def test_an_empty_presented_key_is_nobody() -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key"})

    with pytest.raises(Unauthorized):
        keys.caller("")


def test_two_names_for_one_key_are_refused_at_the_start() -> None:
    specs = [ApiKeySpec(name="a", key_env="A"), ApiKeySpec(name="b", key_env="B")]

    with pytest.raises(ConfigError, match="give each its own"):
        Keys.read(specs, {"A": "same", "B": "same"})


def test_a_key_is_not_kept_in_clear() -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key-clear"})

    assert "test-key-clear" not in repr(vars(keys))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example"},
        {"host": "127.0.0.1.example:8600"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_a_pool_without_keys_refuses_what_another_site_made_a_browser_send(
    http: AsyncClient, headers: dict[str, str]
) -> None:
    response = await http.post(f"{SUB1}/pause", headers=headers)

    assert (response.status_code, response.json()["type"]) == (403, "urn:claude-pool:foreign")
    assert (await http.get(SUB1)).json()["state"] == "available"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8600"},
        {"host": "[::1]:8600"},
        {"origin": "http://127.0.0.1:8600"},
    ],
)
async def test_a_pool_without_keys_answers_its_own_machine(
    http: AsyncClient, headers: dict[str, str]
) -> None:
    assert (await http.get(SUB1, headers=headers)).status_code == 200


async def test_a_key_opens_the_pool_under_any_name(keyed: KeyedHttp) -> None:
    response = await keyed("test-key-r").get("/v1/pool", headers={"host": "pool.example"})

    assert response.status_code == 200
