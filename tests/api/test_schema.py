"""What the OpenAPI document says, tried out: requests that fit it and requests that do not, and no
answer that it does not describe.

The service answers on loopback with the local pool behind it, as anybody would reach it;
Schemathesis asks from a thread, through its engine. Its pytest plugin would raise warnings inside
failing tests, which here are errors. Routes that are added are found by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.config import ApiKeySpec, ServerSettings
from tests.support.pools.localpool import LocalPool
from tests.support.suite.fuzz import examples

pytestmark = [
    pytest.mark.hypothesis,  # what ``make fuzz`` runs
    pytest.mark.timeout(examples(360, 7200)),
]

KEY = "test-key-of-an-operator"
MAX_SECONDS = examples(4, 1200)
"""After a request of each route: half of it for the edges of every parameter, of each route as many
as there is time for; then for random requests."""
REFUSED = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "431", "503"]
CHECKS: dict[str, dict[str, Any]] = {
    # A 503 is a documented refusal: requests pause and remove subscriptions for those after them.
    "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
    "status_code_conformance": {},
    "content_type_conformance": {},
    "response_schema_conformance": {},
    "response_headers_conformance": {},
    "negative_data_rejection": {"expected-statuses": REFUSED},
    "unsupported_method": {},
}
LENIENT = (
    "Incorrect type",
    "violates `format`",
    "violates `anyOf` at /properties/since",
    "violates `anyOf` at /properties/until",
)
"""What ``negative_data_rejection`` finds and is meant: ``0`` is read as false, ``"5"`` as 5, and a
number where an instant is wanted as seconds since 1970."""


class Found(NamedTuple):
    asked: set[str]
    problems: list[str]


class HungUp:
    """Ends every stream of events after its first moments, as a caller does that hangs up."""

    def __init__(self, app: ASGIApp, seconds: float = 0.05) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams = False
        ended = False

        async def noted(message: Message) -> None:
            nonlocal streams, ended
            if message["type"] == "http.response.start":
                streams = (b"content-type", b"text/event-stream; charset=utf-8") in [
                    (name.lower(), value) for name, value in message["headers"]
                ]
            else:
                ended = not message.get("more_body", False)
            await send(message)

        async def gone() -> Message:
            if not streams:
                return await receive()
            await asyncio.sleep(self._seconds)
            return {"type": "http.disconnect"}

        await self._app(scope, gone, noted)
        if streams and not ended:
            await send({"type": "http.response.body", "body": b""})


OFF = {"enabled": False}
GENERATION = {"deterministic": True, "no-shrink": True}
PHASES = {"stateful": OFF, "examples": OFF}
ONE_OF_EACH: dict[str, Any] = {
    "generation": {**GENERATION, "max-examples": 1},
    "phases": {**PHASES, "coverage": OFF},
}
AS_MANY: dict[str, Any] = {
    "generation": GENERATION,
    "phases": PHASES,
    "max-time": MAX_SECONDS,
}


def configuration(url: str, how: dict[str, Any]) -> SchemathesisConfig:
    checks = {"enabled": False, **{name: {"enabled": True, **CHECKS[name]} for name in CHECKS}}
    return SchemathesisConfig.from_dict(
        {
            "base-url": url,
            "headers": {"Authorization": f"Bearer {KEY}"},
            "seed": 1,
            "request-timeout": 10,
            "workers": 1,
            "checks": checks,
            **how,
        }
    )


def found(document: dict[str, Any], url: str) -> Found:
    """What was asked, and what does not agree, with the request that shows it."""
    asked, problems = set(), []
    for event in chain.from_iterable(_events(document, url, how) for how in (ONE_OF_EACH, AS_MANY)):
        match event:
            case events.NonFatalError(info=info):
                problems.append(str(info))
            case events.FatalError(exception=exception):
                problems.append(repr(exception))
            case events.ScenarioFinished(recorder=recorder):
                asked |= {recorder.label} if recorder.has_responses() else set()
                problems += told(recorder)
    return Found(asked, problems)


def _events(
    document: dict[str, Any], url: str, how: dict[str, Any]
) -> Iterator[events.EngineEvent]:
    schema = schemathesis.openapi.from_dict(document, config=configuration(url, how))
    yield from from_schema(schema).execute()


def told(recorder: ScenarioRecorder) -> list[str]:
    checks = [check for each in recorder.checks.values() for check in each]
    return [
        f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample[-1000:]}"
        for check in checks
        if check.failure_info is not None
        and not (
            check.name == "negative_data_rejection"
            and any(each in str(check.failure_info.failure) for each in LENIENT)
        )
    ]


async def test_the_service_is_as_its_document_says(local_pool: LocalPool) -> None:
    spec = ApiKeySpec(name="operator", key_env="KEY", scopes=("execute", "read", "admin"))
    app = create_app(local_pool.client, Keys.read([spec], {"KEY": KEY}))
    document = app.openapi()
    with bound(ServerSettings(port=0)) as listener:
        async with listening(HungUp(app), listener) as url:
            result = await asyncio.to_thread(found, document, url)

    assert "\n\n".join(result.problems) == ""
    assert result.asked == {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
