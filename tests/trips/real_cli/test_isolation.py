"""Nothing of an execution is ever in a request of another, whichever way it came by its process:
every body that the API received from the real CLI is looked at.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.demo.answers.conversation import last_user_text
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import serving
from pool.claude.process.idle import cleared, spares
from pool.executions.content.image import Image
from pool.executions.model_settings import ModelSettings
from pool.executions.process_way import ProcessWay
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.permissions import AgentSettings, Grant
from tests.support.pools.localpool import LocalPool
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.suite.in_full import IS_FULL
from tests.support.values.manual_clock import ManualClock
from tests.support.values.pictures import PNG

MODEL = "claude-sonnet-4-5"
CONVERSATIONS = 3 if IS_FULL else 2
AHEAD, COLD = ProcessWay.AHEAD, ProcessWay.COLD
KEPT, REUSED = ProcessWay.KEPT, ProcessWay.REUSED
WAYS = {"reused too": True, **({"kept and ahead": False} if IS_FULL else {})}
"""Where processes are reused, some are started ahead, too."""


class Canary(NamedTuple):
    """One conversation: its name is in all that is asked for it, the settings of its turns among
    that, and its key's in the system prompt.
    """

    name: str
    key: str
    session_id: str = ""

    @property
    def image(self) -> Image:
        data = b64encode(b64decode(PNG) + f"IMAGE-{self.name}".encode()).decode()
        return Image(media_type="image/png", data=data)


class Aviary:
    """Conversations of several callers, in one pool; and how their runs came by processes."""

    def __init__(self, pool: LocalPool, folder: Path) -> None:
        self._pool = pool
        self._folder = folder
        self.known: dict[str, Canary] = {}
        self._settings: dict[str, ModelSettings] = {}
        """Of each turn, by its prompt."""
        self.ways: set[ProcessWay | None] = set()

    async def say(self, canary: Canary, word: str, **fields: Any) -> Canary:
        """One turn, with settings of its own or, every other time, none; the canary with its
        session.
        """
        prompt, number = f"PROMPT-{canary.name} {word}", len(self._settings)
        settings = _of_its_own(number, f"STOP-{canary.name}-{word}")
        self._settings[prompt] = settings
        known = {"prompt": prompt, "model": MODEL, "model_settings": settings}
        request = {**known, **fields}
        if canary.session_id:
            request["session_id"] = canary.session_id
        grant = Grant(tools=("Read",), working_directories=(self._folder,))
        asked_for = ExecutionRequest.model_validate(request)
        ended = await self._pool.client.execute(asked_for, caller=canary.key, grant=grant)
        assert ended.status is ExecutionStatus.SUCCEEDED, ended.error
        self.ways.add(ended.attempts[-1].process)
        self.known[canary.name] = canary._replace(session_id=ended.session_id)
        return self.known[canary.name]

    async def begin(self, name: str, key: str) -> Canary:
        """A session with a system prompt and an image."""
        canary = Canary(name, key)
        system = f"SYSTEM-{key} be brief."
        return await self.say(canary, "one", system_prompt=system, images=(canary.image,))

    async def conversation(self, name: str, key: str) -> None:
        await self._park()
        begun = await self.begin(name, key)
        await self.say(begun, "see", images=(begun.image,))
        await self.say(begun, "three")

    async def with_a_tool(self, name: str) -> None:
        place = self._folder / f"DIRECTORY-{name}"
        place.mkdir()
        fields = {"tools": ("Read",), "agent": AgentSettings(working_directory=place)}
        await self.say(await self.say(Canary(name, "tools"), "one", **fields), "two", **fields)

    async def with_a_schema(self, name: str) -> None:
        schema = {"type": "object", "properties": {f"SCHEMA-{name}": {"type": "string"}}}
        await self.say(Canary(name, "schemas"), "one", json_schema=schema)

    async def _park(self) -> None:
        context = self._pool.actors.subscription("sub1")._context
        environment = context.deps.environment(context.state.spec)
        await context.deps.runner.tend_spares(1, environment, MODEL)
        await asyncio.sleep(spares.READY_SECONDS)

    def check(self, body: dict[str, Any]) -> None:
        """A body has what its own conversation brought, and nothing of another."""
        text = json.dumps(body)
        (owner,) = {each for each in self.known.values() if f"PROMPT-{each.name}" in text}
        for other in {*self.known.values()} - {owner}:
            assert other.name not in text
            assert other.session_id not in text
            assert other.image.data not in text
            assert other.key == owner.key or f"SYSTEM-{other.key}" not in text
        assert (owner.image.data in text) is owner.key.startswith("key")
        assert ("DIRECTORY-" in text) is (owner.key == "tools")
        settings = self._settings[last_user_text(body).splitlines()[-1]]
        assert tuple(body.get("stop_sequences", ())) == settings.stop_sequences
        assert text.count("STOP-") == len(settings.stop_sequences)
        assert body.get("top_k") == settings.top_k
        assert (body["max_tokens"] == settings.max_tokens) is (settings.max_tokens is not None)
        tools = {"tools": ["Read"], "schemas": ["StructuredOutput"]}.get(owner.key, [])
        assert [each["name"] for each in body["tools"]] == tools


def _of_its_own(number: int, stop: str) -> ModelSettings:
    """Settings that no other turn has; none at all for every other one."""
    if number % 2:
        return ModelSettings()
    return ModelSettings(stop_sequences=(stop,), max_tokens=2_000 + number, top_k=1 + number)


@pytest.mark.parametrize("reuses", WAYS.values(), ids=WAYS.keys())
async def test_nothing_of_an_execution_is_in_a_request_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reuses: bool
) -> None:
    """Prompt, system prompt, session, image, schema, tool, directory and settings; several at
    once.
    """
    monkeypatch.setattr(spares, "has_room", lambda: True)
    monkeypatch.setattr(spares, "CLAIM_SECONDS", 30.0)
    monkeypatch.setattr(cleared, "CLEAR_SECONDS", 30.0)
    clock = ManualClock(datetime.now(UTC))
    how = {"subscriptions": 1, "slots": 4, "keep_seconds": 60, "spares": 2, "reuses": reuses}
    with serving(create_app()) as api:
        async with real_cli_pool(tmp_path, api.url, clock, roots=(tmp_path,), **how) as pool:
            aviary = Aviary(pool, tmp_path)
            await asyncio.gather(
                *(aviary.conversation(f"canary{n}x", f"key{n % 2}") for n in range(CONVERSATIONS))
            )
            await asyncio.gather(aviary.with_a_schema("canary8x"), aviary.with_a_tool("canary9x"))
            for n in (10, 12):
                pair = ((f"canary{n}x", "key0"), (f"canary{n + 1}x", "key1"))
                await asyncio.gather(*(aviary.begin(name, key) for name, key in pair))
            for name in ("canary0x", "canary12x"):
                await aviary.say(aviary.known[name], "more")
        bodies = [each.body or {} for each in api.standin.requests.all(path="/v1/messages")]

    assert aviary.ways >= {COLD, KEPT, AHEAD, *({REUSED} if reuses else ())}
    assert len(bodies) >= CONVERSATIONS * 3 + 3 + 4 + 2
    for body in bodies:
        aviary.check(body)
