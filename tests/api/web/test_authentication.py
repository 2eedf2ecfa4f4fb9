from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from httpx import AsyncClient

from actors.client.client import PoolClient
from api.web.authentication import (
    ANYBODY,
    MOST_PRESENTED,
    OPERATOR,
    REMEMBERED_SECONDS,
    Authenticator,
    Keys,
    Unauthorized,
)
from api.web.key_guesses import BURST, TooManyGuesses
from pool.config import ApiKeySpec
from pool.errors import ActorLost, ConfigError
from pool.keys.api_keys import IssuedKey, KeySpec
from tests.support.pools.localpool import LocalPool
from tests.support.values.manual_clock import ManualClock

KeyedHttp = Callable[..., AsyncClient]

SUB1 = "/v1/subscriptions/sub1"
WORK = {"prompt": "say yes"}


async def test_nobody_enters_without_a_key(keyed: KeyedHttp) -> None:
    response = await keyed(None).post("/v1/executions", content=b"no json at all")

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["wrong", "test-key-", "test-key-executee", "t\u00e4st"])
async def test_a_wrong_key_is_none(keyed: KeyedHttp, key: str) -> None:
    response = await keyed(key).get("/v1/pool")

    assert response.status_code == 401
    assert key not in response.text


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_a_key_may_come_in_either_header(keyed: KeyedHttp, header: str) -> None:
    response = await keyed("test-key-reading", header).get("/v1/pool")

    assert response.status_code == 200


FOREIGN = ["Bearer sk-ant-oat01-of-a-human", "Bearer ", "Bearer", "Basic dTpw", "test-key-execute"]


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_credential_of_another_service_beside_a_key_is_passed_over(
    keyed: KeyedHttp, local_pool: LocalPool, foreign: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = await keyed("test-key-execute", "x-api-key").post(
            "/v1/executions", json=WORK, headers={"authorization": foreign}
        )

    assert response.status_code == 200
    kept = repr(local_pool.runner.runs) + caplog.text + response.text
    assert "of-a-human" not in kept


@pytest.mark.parametrize("foreign", ["sk-of-another", "", " "])
async def test_a_foreign_x_api_key_beside_a_key_is_passed_over(
    keyed: KeyedHttp, foreign: str
) -> None:
    response = await keyed("test-key-reading").get("/v1/pool", headers={"x-api-key": foreign})

    assert response.status_code == 200


async def test_of_two_credentials_none_of_which_opens_nothing_comes(keyed: KeyedHttp) -> None:
    headers = {"authorization": "Bearer wrong", "x-api-key": "wrong-too"}

    assert (await keyed(None).get("/v1/pool", headers=headers)).status_code == 401


async def test_a_request_cannot_guess_many_keys_at_once(keyed: KeyedHttp) -> None:
    guesses = [("x-api-key", f"guess-{n}") for n in range(MOST_PRESENTED)]

    response = await keyed(None).get(
        "/v1/pool", headers=[*guesses, ("x-api-key", "test-key-reading")]
    )

    assert response.status_code == 401


ALLOWED = [
    ("execute", "POST", "/v1/executions", WORK),
    ("execute", "POST", "/v1/executions/exec_x/cancel", None),
    ("read_all", "GET", "/v1/alerts", None),
    ("read_all", "GET", "/v1/reconciliations", None),
    ("read", "GET", "/v1/subscriptions", None),
    ("read", "GET", SUB1, None),
    ("read", "GET", f"{SUB1}/usage", None),
    ("read", "GET", f"{SUB1}/blocks", None),
    ("read", "GET", f"{SUB1}/health", None),
    ("read", "GET", "/v1/pool", None),
    ("admin", "POST", "/v1/subscriptions", {"id": "sub9"}),
    ("admin", "POST", "/v1/backups", None),
    ("admin", "GET", "/v1/keys", None),
    ("admin", "POST", "/v1/keys", {"name": "new"}),
    ("admin", "POST", "/v1/keys/nobody/rotate", None),
    ("admin", "DELETE", "/v1/keys/nobody", None),
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
    lacking = "test-key-reading" if scope == "execute" else "test-key-execute"

    refused = await keyed(lacking).request(method, path, json=body)
    granted = await keyed("test-key-administer").request(method, path, json=body)

    assert refused.status_code == 403
    assert repr(scope) in refused.json()["detail"]
    assert granted.status_code not in {401, 403}


async def test_a_key_of_another_caller_never_meets_the_same_execution(keyed: KeyedHttp) -> None:
    headers = {"Idempotency-Key": "k-1"}

    one = await keyed("test-key-execute").post("/v1/executions", json=WORK, headers=headers)
    other = await keyed("test-key-administer").post("/v1/executions", json=WORK, headers=headers)

    assert one.json()["id"] != other.json()["id"]


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
async def test_what_tells_no_secrets_is_open(keyed: KeyedHttp, path: str) -> None:
    assert (await keyed(None).get(path)).status_code == 200


async def test_without_keys_everybody_may_run_and_look_and_the_operator_change(
    local_pool: LocalPool,
) -> None:
    door = Authenticator(Keys({}, "the-operators"), local_pool.client, local_pool.clock)

    assert await door.caller("") is ANYBODY
    assert await door.caller("whatever") is ANYBODY
    assert await door.caller("the-operators") is OPERATOR
    assert {"execute", "read", "read_all", "report"} == ANYBODY.scopes
    assert {"admin"} == OPERATOR.scopes - ANYBODY.scopes


def test_a_key_whose_variable_is_not_set_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"api_keys\[0\].key_env: .*shorter than 16 characters"):
        Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "0123456789abcde"})
    with pytest.raises(ConfigError, match=r"api_keys\[0\].key_env: .*CI_KEY is not set"):
        Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {})


async def test_an_empty_presented_key_is_nobody(local_pool: LocalPool) -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key-of-a-caller"})

    with pytest.raises(Unauthorized):
        await Authenticator(keys, local_pool.client, local_pool.clock).caller("")


def test_a_key_of_the_file_opens_nothing_once_it_has_expired(clock: ManualClock) -> None:
    spec = ApiKeySpec(name="ci", key_env="CI_KEY", expires_at=clock.now)
    keys = Keys.read([spec], {"CI_KEY": "test-key-of-a-caller"})

    assert keys.caller("test-key-of-a-caller", clock.now - timedelta(microseconds=1)) is not None
    assert keys.caller("test-key-of-a-caller", clock.now) is None


def test_two_names_for_one_key_are_refused_at_the_start() -> None:
    specs = [ApiKeySpec(name="a", key_env="A"), ApiKeySpec(name="b", key_env="B")]

    with pytest.raises(ConfigError, match="give each its own"):
        Keys.read(specs, dict.fromkeys(("A", "B"), "the-same-key-twice"))


def test_a_key_is_not_kept_in_clear() -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key-in-the-clear"})

    assert "test-key-in-the-clear" not in repr(vars(keys))


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
    anonymous: AsyncClient, http: AsyncClient, headers: dict[str, str]
) -> None:
    response = await anonymous.post(f"{SUB1}/pause", headers=headers)

    assert (response.status_code, response.json()["type"]) == (403, "urn:claude-pool:foreign")
    assert (await http.get(SUB1)).json()["state"] == "available"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8600"},
        {"host": "[::1]:8600"},
        {"origin": "http://127.0.0.1:8600"},
        {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1:8600", "sec-fetch-site": "same-origin"},
    ],
)
async def test_a_pool_without_keys_answers_its_own_machine(
    http: AsyncClient, headers: dict[str, str]
) -> None:
    assert (await http.get(SUB1, headers=headers)).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
async def test_a_page_of_another_site_reaches_no_pool_without_keys(
    anonymous: AsyncClient, site: str
) -> None:
    response = await anonymous.get(SUB1, headers={"sec-fetch-site": site})

    assert (response.status_code, response.json()["type"]) == (403, "urn:claude-pool:foreign")


async def test_a_key_opens_the_pool_to_a_page_of_any_site(keyed: KeyedHttp) -> None:
    response = await keyed("test-key-reading").get(SUB1, headers={"sec-fetch-site": "cross-site"})

    assert response.status_code == 200


async def test_a_key_opens_the_pool_under_any_name(keyed: KeyedHttp) -> None:
    response = await keyed("test-key-reading").get("/v1/pool", headers={"host": "pool.example"})

    assert response.status_code == 200


# -- keys that were made while the pool runs -----------------------------------------------------


class Stopwatch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class CountingClient(PoolClient):
    """Counts how often the pool is asked."""

    asked = 0

    async def authenticate(self, shown: object) -> object:  # type: ignore[override]
        self.asked += 1
        return await super().authenticate(shown)  # type: ignore[arg-type]

    async def is_open(self) -> bool:
        self.asked += 1
        return await super().is_open()


@pytest.fixture
def client(local_pool: LocalPool) -> CountingClient:
    return CountingClient(local_pool.actors, local_pool.clock)


@pytest.fixture
def timer() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def door(client: CountingClient, clock: ManualClock, timer: Stopwatch) -> Authenticator:
    return Authenticator(Keys({}), client, clock, timer)


async def make(client: PoolClient, name: str = "ops") -> IssuedKey:
    return await client.create_key(KeySpec(name=name, scopes=("read", "admin")))


async def test_a_made_key_opens_the_pool_with_its_scopes(
    door: Authenticator, client: CountingClient
) -> None:
    issued = await make(client)

    caller = await door.caller(issued.secret.get_secret_value())

    assert (caller.name, caller.scopes) == ("ops", frozenset({"read", "admin"}))


async def test_a_revocation_is_felt_within_two_seconds(
    door: Authenticator, client: CountingClient, timer: Stopwatch
) -> None:
    issued = await make(client)
    await make(client, name="other")
    await door.caller(issued.secret.get_secret_value())
    await client.revoke_key(issued.key.id)

    timer.now += 2

    with pytest.raises(Unauthorized):
        await door.caller(issued.secret.get_secret_value())


async def test_the_pool_is_asked_once_a_second_and_not_for_every_request(
    door: Authenticator, client: CountingClient, timer: Stopwatch
) -> None:
    issued = await make(client)

    for _ in range(50):
        await door.caller(issued.secret.get_secret_value())
    once = client.asked
    timer.now += REMEMBERED_SECONDS
    await door.caller(issued.secret.get_secret_value())

    assert (once, client.asked) == (1, 2)


async def test_a_made_key_opens_beside_one_that_opens_nothing_and_the_other_is_not_remembered(
    door: Authenticator, client: CountingClient
) -> None:
    issued = await make(client)
    secret = issued.secret.get_secret_value()

    caller = await door.caller("sk-ant-oat01-of-a-human", "", secret)

    assert (caller.name, client.asked) == ("ops", 1)
    assert "of-a-human" not in repr(vars(door))


def guess(n: int) -> str:
    """Of the form of a key, and nobody's."""
    return f"cp_{n:016x}_{'A' * 43}"


async def test_guesses_are_throttled_and_the_pool_is_not_asked_about_each(
    door: Authenticator, client: CountingClient
) -> None:
    await make(client)
    refused: list[type[Exception]] = []

    for n in range(10 * BURST):
        try:
            await door.caller(guess(n), address="10.0.0.1")
        except (Unauthorized, TooManyGuesses) as error:
            refused.append(type(error))

    assert refused == [Unauthorized] * BURST + [TooManyGuesses] * 9 * BURST
    assert client.asked <= BURST + 1


async def test_who_guesses_holds_up_nobody_who_was_here_before_or_is_elsewhere(
    client: CountingClient, clock: ManualClock, timer: Stopwatch
) -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key-of-a-caller"})
    door = Authenticator(keys, client, clock, timer)
    known = (await make(client)).secret.get_secret_value()
    new = (await make(client, "late")).secret.get_secret_value()
    await door.caller(known, address="10.0.0.1")
    timer.now += 2 * REMEMBERED_SECONDS
    for n in range(BURST):
        with pytest.raises(Unauthorized):
            await door.caller(guess(n), address="10.0.0.1")

    with pytest.raises(TooManyGuesses):
        await door.caller(new, address="10.0.0.1")
    callers = [
        await door.caller(known, address="10.0.0.1"),
        await door.caller("test-key-of-a-caller", address="10.0.0.1"),
        await door.caller(new, address="10.0.0.2"),
    ]

    assert [each.name for each in callers] == ["ops", "ci", "late"]


async def test_a_key_that_was_revoked_is_a_guess_like_any_other(
    door: Authenticator, client: CountingClient, timer: Stopwatch
) -> None:
    await make(client)
    issued = await make(client, "late")
    secret = issued.secret.get_secret_value()
    await door.caller(secret)
    await client.revoke_key(issued.key.id)
    timer.now += 2 * REMEMBERED_SECONDS
    for _ in range(BURST):
        with pytest.raises(Unauthorized):
            await door.caller(secret)
        timer.now += 0.01
    asked, timer.now = client.asked, timer.now + REMEMBERED_SECONDS / 2

    with pytest.raises((Unauthorized, TooManyGuesses)):
        await door.caller(secret)

    assert client.asked == asked


async def test_a_key_of_the_file_is_found_before_the_pool_is_asked_about_another(
    client: CountingClient, clock: ManualClock
) -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key-of-a-caller"})
    other = (await make(client)).secret.get_secret_value()
    client.asked = 0

    caller = await Authenticator(keys, client, clock).caller(other, "test-key-of-a-caller")

    assert (caller.name, client.asked) == ("ci", 0)


async def test_guessing_does_not_reach_the_pool_more_often_than_once_a_second(
    door: Authenticator, client: CountingClient
) -> None:
    await make(client)
    client.asked = 0

    for _ in range(50):
        with pytest.raises(Unauthorized):
            await door.caller("sk-not-a-key-of-this-pool")

    assert client.asked == 1


async def test_a_pool_shuts_its_door_with_the_first_key_and_keeps_it_shut(
    door: Authenticator, client: CountingClient, timer: Stopwatch
) -> None:
    assert await door.caller("") is ANYBODY
    issued = await make(client)
    await make(client, name="other")

    timer.now += REMEMBERED_SECONDS
    with pytest.raises(Unauthorized):
        await door.caller("")
    await client.revoke_key(issued.key.id)
    timer.now += 1000

    with pytest.raises(Unauthorized):
        await door.caller("")


async def test_while_the_pool_cannot_be_asked_nobody_enters_by_a_made_key(
    door: Authenticator, client: CountingClient, local_pool: LocalPool, timer: Stopwatch
) -> None:
    issued = await make(client)
    local_pool.actors.the_router = None

    for shown in (issued.secret.get_secret_value(), ""):
        with pytest.raises(ActorLost):
            await door.caller(shown)


async def test_a_key_of_the_file_enters_without_the_pool_being_asked(
    client: CountingClient, clock: ManualClock
) -> None:
    keys = Keys.read([ApiKeySpec(name="ci", key_env="CI_KEY")], {"CI_KEY": "test-key-of-a-caller"})

    caller = await Authenticator(keys, client, clock).caller("test-key-of-a-caller")

    assert (caller.name, client.asked) == ("ci", 0)
