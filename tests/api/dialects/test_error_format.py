"""What goes wrong, as the official SDKs raise it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from api.server import listening as listening_module
from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.config import ApiKeySpec, ServerSettings
from pool.errors import ActorLost, Conflict, Exhausted, KeyReused, NotFound, StoreError, Unavailable
from pool.executions.execution import ErrorInfo, Execution
from pool.executions.outcome import FailureKind
from pool.executions.progress import Ended, Event
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from tests.support.callers.sdks import anthropic, openai
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON

MODEL = "claude-sonnet-4-6"
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
Failing = Callable[..., None]

ERRORS: list[tuple[Exception, int, str, str, int, str]] = [
    (NotFound("session", "s"), 404, "not_found_error", "NotFoundError", 404, "NotFoundError"),
    (Conflict("busy"), 409, "invalid_request_error", "ConflictError", 409, "ConflictError"),
    (
        KeyReused("k", "exec_1"),
        422,
        "invalid_request_error",
        "UnprocessableEntityError",
        422,
        "UnprocessableEntityError",
    ),
    (
        Exhausted("exec_1", "full", None),
        429,
        "rate_limit_error",
        "RateLimitError",
        429,
        "RateLimitError",
    ),
    (
        Unavailable("exec_1", "all paused"),
        529,
        "overloaded_error",
        "OverloadedError",
        503,
        "InternalServerError",
    ),
    (
        ActorLost("router", "gone"),
        503,
        "api_error",
        "ServiceUnavailableError",
        503,
        "InternalServerError",
    ),
    (
        StoreError("s", "disk full"),
        503,
        "api_error",
        "ServiceUnavailableError",
        503,
        "InternalServerError",
    ),
    (
        RuntimeError("the-secret-plan"),
        500,
        "api_error",
        "InternalServerError",
        500,
        "InternalServerError",
    ),
]


async def ask_claude(claude: anthropic.AsyncAnthropic, **more: Any) -> Any:
    asked = {"model": MODEL, "max_tokens": 100, "messages": HELLO, **more}
    return await claude.messages.create(**asked)


async def ask_gpt(gpt: openai.AsyncOpenAI, **more: Any) -> Any:
    return await gpt.chat.completions.create(**{"model": MODEL, "messages": HELLO, **more})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "kind", "expected"), [each[:4] for each in ERRORS], ids=repr
)
async def test_anthropics_sdk_raises_its_own_class(
    claude: anthropic.AsyncAnthropic,
    failing: Failing,
    error: Exception,
    status: int,
    kind: str,
    expected: str,
    *,
    stream: bool,
) -> None:
    failing(error)

    with pytest.raises(getattr(anthropic, expected)) as caught:
        await ask_claude(claude, stream=stream)

    assert (caught.value.status_code, caught.value.type) == (status, kind)
    body: Any = caught.value.body
    assert body["request_id"] == caught.value.request_id
    assert "the-secret-plan" not in caught.value.message


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [(error, status, expected) for error, _, _, _, status, expected in ERRORS],
    ids=repr,
)
async def test_openais_sdk_raises_its_own_class(
    gpt: openai.AsyncOpenAI,
    failing: Failing,
    error: Exception,
    status: int,
    expected: str,
    *,
    stream: bool,
) -> None:
    failing(error)

    with pytest.raises(getattr(openai, expected)) as caught:
        await ask_gpt(gpt, stream=stream)

    assert caught.value.status_code == status
    assert caught.value.request_id is not None
    assert isinstance(caught.value.code, str)
    assert "the-secret-plan" not in caught.value.message


BAD: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": []}),
    ("messages.0.role", {"messages": [{"role": "robot", "content": "x"}]}),
    ("messages", {"messages": [{"role": "user", "content": ""}]}),
    ("messages", {"messages": [*HELLO, {"role": "assistant", "content": "I"}]}),
    ("messages", {"messages": [{"role": "user", "content": "x" * 1_000_001}]}),
    ("model", {"model": "--dangerous"}),
    ("session_id", {"extra_body": {"session_id": "no-uuid"}}),
    ("X-Session-Id", {"extra_headers": {"X-Session-Id": "no-uuid"}}),
    ("Idempotency-Key", {"extra_headers": {"Idempotency-Key": "two words"}}),
]


@pytest.mark.parametrize(("field", "asked"), BAD, ids=lambda value: str(value)[:40])
async def test_what_is_wrong_with_a_request_is_a_400_that_names_the_field(
    claude: anthropic.AsyncAnthropic,
    gpt: openai.AsyncOpenAI,
    local_pool: LocalPool,
    field: str,
    asked: dict[str, Any],
) -> None:
    with pytest.raises(anthropic.BadRequestError) as to_claude:
        await ask_claude(claude, **asked)
    with pytest.raises(openai.BadRequestError) as to_gpt:
        await ask_gpt(gpt, **asked)

    body: Any = to_claude.value.body
    assert body["pool"]["field"] == field
    assert to_gpt.value.param == field
    assert "xxx" not in to_claude.value.message + to_gpt.value.message
    assert local_pool.runner.runs == []


async def test_bytes_that_are_no_image_are_told_by_their_place(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "no base64!"}
    url = {"url": "data:image/png;base64,no base64!"}
    block = {"type": "image", "source": source}
    part = {"type": "image_url", "image_url": url}
    with pytest.raises(anthropic.BadRequestError, match="no base64 text") as to_claude:
        await ask_claude(claude, messages=[{"role": "user", "content": [block]}])
    with pytest.raises(openai.BadRequestError, match="no base64 text") as to_gpt:
        await ask_gpt(gpt, messages=[{"role": "user", "content": [part]}])

    body: Any = to_claude.value.body
    assert body["pool"]["field"] == "messages.0.content.0.source"
    assert to_gpt.value.param == "messages.0.content.0.image_url.url"


async def test_a_schema_that_cannot_be_told_is_a_400_that_names_the_place_in_it(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "text"}}}
    to_claude_format: Any = {"format": {"type": "json_schema", "schema": schema}}
    named: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    with pytest.raises(anthropic.BadRequestError, match="must be one or more of") as to_claude:
        await ask_claude(claude, output_config=to_claude_format)
    with pytest.raises(openai.BadRequestError, match="must be one or more of") as to_gpt:
        await ask_gpt(gpt, response_format=named)

    body: Any = to_claude.value.body
    assert body["pool"]["field"] == "output_config.format.schema.properties.a.type"
    assert to_gpt.value.param == "response_format.json_schema.schema.properties.a.type"
    assert local_pool.runner.runs == []


async def test_a_model_that_is_not_served_is_not_found(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    with pytest.raises(anthropic.NotFoundError, match="gpt-4") as to_claude:
        await ask_claude(claude, model="gpt-4")
    with pytest.raises(openai.NotFoundError, match="gpt-4") as to_gpt:
        await ask_gpt(gpt, model="gpt-4")

    assert to_claude.value.type == "not_found_error"
    assert (to_gpt.value.code, to_gpt.value.param) == ("model_not_found", "model")


async def test_a_session_that_is_not_known_is_not_found(gpt: openai.AsyncOpenAI) -> None:
    unknown = {"session_id": "634fbb1e-4256-459f-9794-14ea9ca8dac8"}

    with pytest.raises(openai.NotFoundError, match="session"):
        await ask_gpt(gpt, extra_body=unknown)


async def test_a_session_in_two_places_must_be_one(gpt: openai.AsyncOpenAI) -> None:
    one, other = (f"634fbb1e-4256-459f-9794-14ea9ca8dac{n}" for n in (8, 9))

    with pytest.raises(openai.BadRequestError, match="X-Session-Id"):
        await ask_gpt(gpt, extra_body={"session_id": one}, extra_headers={"X-Session-Id": other})


RUNS = [
    (FailureKind.USAGE_LIMIT, 429, 429),
    (FailureKind.OVERLOADED, 529, 503),
    (FailureKind.AUTHENTICATION, 529, 503),
    (FailureKind.MODEL_NOT_FOUND, 404, 404),
    (FailureKind.SESSION_NOT_FOUND, 404, 404),
    (FailureKind.INVALID_REQUEST, 400, 400),
    (FailureKind.TIMEOUT, 504, 504),
    (FailureKind.SERVER_ERROR, 500, 500),
    (FailureKind.NO_RESULT, 500, 500),
]


@pytest.fixture
async def ending(local_pool: LocalPool) -> Callable[[FailureKind], None]:
    """Let every execution have ended with a failure."""
    answered = await local_pool.client.execute(ExecutionRequest(prompt="say yes"))
    client: Any = local_pool.client

    def end(kind: FailureKind) -> None:
        error = ErrorInfo(type=kind.value, message="so it was")
        failed = {"status": ExecutionStatus.FAILED, "error": error, "result": None}
        execution = answered.model_copy(update=failed)

        async def start(*_: object, **__: object) -> Execution:
            return execution

        async def events(*_: object, **__: object) -> AsyncIterator[Event]:
            yield Event(cursor="0-end", progress=Ended(execution=execution))

        client.start, client.events = start, events

    return end


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("kind", "to_claude", "to_gpt"), RUNS)
async def test_a_run_that_failed_is_an_error_and_never_an_answer(
    claude: anthropic.AsyncAnthropic,
    gpt: openai.AsyncOpenAI,
    ending: Callable[[FailureKind], None],
    kind: FailureKind,
    to_claude: int,
    to_gpt: int,
    *,
    stream: bool,
) -> None:
    ending(kind)

    with pytest.raises(anthropic.APIStatusError, match="so it was") as claude_got:
        await ask_claude(claude, stream=stream)
    with pytest.raises(openai.APIStatusError, match="so it was") as gpt_got:
        await ask_gpt(gpt, stream=stream)

    assert claude_got.value.status_code == to_claude
    assert gpt_got.value.status_code == to_gpt


# -- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk", ["claude", "gpt"])
@pytest.mark.parametrize("stream", [False, True])
async def test_retry_after_is_honoured(
    claude: anthropic.AsyncAnthropic,
    gpt: openai.AsyncOpenAI,
    failing: Failing,
    local_pool: LocalPool,
    monkeypatch: pytest.MonkeyPatch,
    sdk: str,
    *,
    stream: bool,
) -> None:
    failing(Exhausted("exec_1", "full", NOON + timedelta(seconds=1)))
    pauses, sleep = [], anyio.sleep

    async def passing(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds / 100)

    monkeypatch.setattr(anyio, "sleep", passing)

    if sdk == "claude":
        await ask_claude(claude.with_options(max_retries=1), stream=stream)
    else:
        await ask_gpt(gpt.with_options(max_retries=1), stream=stream)

    # Left to themselves, both would try again after at most half a second.
    assert 1 in pauses
    assert len(local_pool.runner.runs) == 1


@pytest.mark.parametrize("sdk", ["claude", "gpt"])
async def test_nobody_sleeps_for_hours_over_a_limit(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, failing: Failing, sdk: str
) -> None:
    failing(Exhausted("exec_1", "full", NOON + timedelta(hours=3)))

    asking = {
        "claude": lambda: ask_claude(claude.with_options(max_retries=2)),
        "gpt": lambda: ask_gpt(gpt.with_options(max_retries=2)),
    }
    with pytest.raises((anthropic.RateLimitError, openai.RateLimitError)) as caught:
        await asking[sdk]()

    assert caught.value.response.headers["retry-after"] == "10800"


@pytest.mark.parametrize(
    ("kind", "told"), [(FailureKind.TIMEOUT, "false"), (FailureKind.SERVER_ERROR, None)]
)
async def test_what_would_end_the_same_is_not_paid_twice(
    claude: anthropic.AsyncAnthropic,
    ending: Callable[[FailureKind], None],
    kind: FailureKind,
    told: str | None,
) -> None:
    ending(kind)

    with pytest.raises(anthropic.InternalServerError) as caught:
        await ask_claude(claude)

    assert caught.value.response.headers.get("x-should-retry") == told


# -- at the end of the service --------------------------------------------------------------------


@pytest.mark.parametrize("sdk", ["claude", "gpt"])
async def test_a_stream_that_the_service_leaves_behind_ends_with_an_error(
    app: FastAPI, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch, sdk: str
) -> None:
    monkeypatch.setattr(listening_module, "GRACE_SECONDS", 1)
    local_pool.runner.hold = True

    async def listen(url: str) -> None:
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as claude,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as gpt,
        ):
            ask = ask_claude(claude, stream=True) if sdk == "claude" else ask_gpt(gpt, stream=True)
            async for _ in await ask:
                heard.set()

    heard = asyncio.Event()
    with bound(ServerSettings(port=0)) as listener:
        async with listening(app, listener) as url:
            waiting = asyncio.create_task(listen(url))
            (run,) = await local_pool.runner.wait_for_runs(1)
            run.says("Hel")
            await asyncio.wait_for(heard.wait(), 10)
        with pytest.raises((anthropic.APIError, openai.APIError), match="is stopping"):
            await waiting

    assert not run.stopped
    run.end()


# -- before a route ------------------------------------------------------------------------------


@pytest.fixture
async def keyed_url(local_pool: LocalPool) -> AsyncIterator[str]:
    """A pool with two keys, one of which may only read."""
    specs = [
        ApiKeySpec(name="runner", key_env="RUNNER", scopes=("execute",)),
        ApiKeySpec(name="reader", key_env="READER", scopes=("read",)),
    ]
    keys = Keys.read(specs, {"RUNNER": "test-key-execute", "READER": "test-key-reading"})
    with bound(ServerSettings(port=0)) as listener:
        async with listening(create_app(local_pool.client, keys), listener) as url:
            yield url


@pytest.mark.parametrize(
    ("key", "expected"),
    [("wrong", "AuthenticationError"), ("test-key-reading", "PermissionDeniedError")],
)
async def test_keys_are_checked(keyed_url: str, key: str, expected: str) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=keyed_url, api_key=key, max_retries=0) as claude,
        openai.AsyncOpenAI(base_url=f"{keyed_url}/v1", api_key=key, max_retries=0) as gpt,
    ):
        with pytest.raises(getattr(anthropic, expected)):
            await ask_claude(claude)
        with pytest.raises(getattr(openai, expected)):
            await ask_gpt(gpt)


async def test_a_key_opens_the_door(keyed_url: str) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=keyed_url, api_key="test-key-execute") as claude,
        openai.AsyncOpenAI(base_url=f"{keyed_url}/v1", api_key="test-key-execute") as gpt,
    ):
        await ask_claude(claude)
        await ask_gpt(gpt)


@pytest.fixture
def shapes(app: FastAPI, http: AsyncClient) -> Callable[[Response], str]:
    def shape(response: Response) -> str:
        body = response.json()
        return "anthropic" if body.get("type") == "error" else "openai"

    return shape


@pytest.mark.parametrize(
    ("path", "expected"), [("/v1/messages", "anthropic"), ("/v1/chat/completions", "openai")]
)
async def test_every_error_of_an_address_has_its_shape(
    http: AsyncClient, shapes: Callable[[Response], str], path: str, expected: str
) -> None:
    json = {"content-type": "application/json"}
    answers = {
        400: await http.post(path, content=b"{", headers=json),
        404: await http.post(f"{path}/count_tokens", json={}),
        405: await http.put(path, json={}),
        413: await http.post(path, content=b" " * 10_000_001, headers=json),
        415: await http.post(path, content=b"{}", headers={"content-type": "text/plain"}),
    }

    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json()["error"]["message"], str)
        assert shapes(answer) == expected


async def test_an_error_elsewhere_stays_a_problem(http: AsyncClient) -> None:
    answer = await http.get("/v1/messagesque")

    assert answer.headers["content-type"] == "application/problem+json"
