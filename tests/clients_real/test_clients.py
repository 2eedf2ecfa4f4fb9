"""Clients that people point at a pool, as they are: each program runs its checks in a process of
its own, against the HTTP of the service. It is their dialects that are looked at: they are answered
by a CLI that costs little (``marked_cli``), but for Anthropic's SDK in Python, which the real one
answers, whose API is the stand-in. Both have to do the same of what is tried here: a stream, a
structure, a forced call, rounds of calls, a history. The real CLI behind each dialect is in
``tests/trips/service/test_dialects.py``, and what it makes of schemas as frameworks write them in
``tests/trips/real_cli/test_executions.py``.

What they need stands in locks of their own, for the project's would contradict them:
``make clients`` installs ``requirements.txt`` into ``.venv/clients``, and ``package-lock.json``
beside it, by hash.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from pool.executions.tools.client_tools import ToolSettings
from pool.keys.api_keys import KeySpec
from pool.subscriptions.reporting import SubscriptionPolicy
from tests.support.clis.marked_cli import marked_cli
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.pools.served_pool import served
from tests.support.suite.paths import ROOT
from tests.support.values.manual_clock import ManualClock

pytestmark = pytest.mark.timeout(600)

PROGRAMS = Path(__file__).with_name("programs")
PYTHON = ROOT / ".venv/clients/bin/python"
KEYS = (
    KeySpec(name="operator", scopes=("admin",)),
    KeySpec(name="clients", scopes=("execute", "read"), subscriptions=("marked",)),
    KeySpec(name="real-cli", scopes=("execute", "read"), subscriptions=("sub1",)),
    KeySpec(name="spent", daily_budget_usd=Decimal("0.000001"), subscriptions=("marked",)),
)
POLICY = SubscriptionPolicy(tools=ToolSettings(max_waiting_per_key=2))
"""Calls that nobody answers wait in a process each."""
HOW = {"subscriptions": 1, "slots": 4, "keep_seconds": 60, "reuses": True}
"""A process of the real CLI serves many requests: it is clients that are looked at here."""
SECONDS = 280
"""Of one program; those of Python run before those of Node, within the limit of a test."""

CLIENTS = {
    "official.py": ("openai", "openai-responses", "anthropic"),
    "langchain_models.py": (
        "langchain-openai",
        "langchain-openai-responses",
        "langchain-anthropic",
    ),
    "litellm_models.py": ("litellm-openai", "litellm-anthropic"),
    "pydantic_ai_agents.py": (
        "pydantic-ai-openai",
        "pydantic-ai-responses",
        "pydantic-ai-anthropic",
    ),
    "instructor_models.py": ("instructor-openai", "instructor-anthropic"),
    "openai_agents.py": ("agents-responses", "agents-chat"),
    "official.mjs": ("openai-node", "openai-node-responses", "anthropic-node"),
    "vercel.mjs": ("vercel-responses", "vercel-chat", "vercel-anthropic"),
}
WANTED: dict[str, Any] = {
    "text": "Hello",
    "stream": ["one two three", True],
    "schema": {"name": "red"},
    "turns": "the tenth",
    "forced": {"name": "red"},
    "loop": ["It is 5", 4],
    "errors": [404, 401, 429, 400],
}
"""What each check sees: of a loop the answer after two rounds of two calls at once, and how many
calls those were; of errors the statuses for no such model, no such key, one whose budget is spent,
nothing asked."""
ADD = 'Add. [[standin name=mcp__caller__add text=It is 5]] [[standin input={"a": 2, "b": 3}]]'
PROMPTS = {
    "text": "[[standin text=Hello]]",
    "stream": "[[standin slow seconds=0.5 chunks=3 text=one two three]]",
    "schema": 'A colour. [[standin input={"name": "red"}]]',
    "loop": f"{ADD} [[standin tool steps=2 at_once=2]]",
    "json": 'A colour. [[standin text={"name": "red"}]]',
}
TURNS = [
    turn
    for n in range(1, 10)
    for turn in (
        {"role": "user", "content": f"Turn {n}"},
        {"role": "assistant", "content": f"Answer {n}"},
    )
] + [{"role": "user", "content": "Turn 10 [[standin text=the tenth]]"}]
UNFORCED = tuple(each for each in WANTED if each != "forced")
ALONE = {
    "instructor-openai": ("schema", "forced", "errors"),
    "instructor-anthropic": ("schema", "forced", "errors"),
    "litellm-anthropic": UNFORCED,
    "vercel-anthropic": UNFORCED,
}
"""What those have that cannot have all: Instructor has all in schemas; of some of Claude's models
LiteLLM refuses a forced choice itself, and the AI SDK asks for a free one instead."""
EVERY = [
    (client, check)
    for clients in CLIENTS.values()
    for client in clients
    for check in ALONE.get(client, WANTED)
]

Seen = dict[str, dict[str, Any]]
"""By client and check."""


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app(Standin()), port=0) as server:
        yield server


class Asked(NamedTuple):
    """Where the pool is, and the keys of somebody, of somebody whom the real CLI answers, and of
    somebody who has spent what there was.
    """

    url: str
    key: str
    real_cli_key: str
    spent_key: str


@pytest.fixture(scope="module")
def pool(api: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("pool")
    others = {"marked": marked_cli(folder)}
    pool = real_cli_pool(folder, api.url, ManualClock(), policy=POLICY, others=others, **HOW)
    with served(pool) as there:
        make = there.pool.client.create_key
        _, *keys = [there.call(partial(make, each)).secret for each in KEYS]
        asked = Asked(there.url, *(each.get_secret_value() for each in keys))
        spend = {"url": f"{asked.url}/v1/executions", "headers": {"x-api-key": asked.spent_key}}
        httpx.post(**spend, json={"prompt": "Hi"}, trust_env=False).raise_for_status()
        yield asked


@pytest.fixture(scope="module")
def seen(pool: Asked, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What all clients saw; two of their processes run at a time."""
    home = tmp_path_factory.mktemp("home")
    asked = {
        **pool._asdict(),
        "model": "claude-sonnet-5-5",
        "prompts": PROMPTS,
        "turns": TURNS,
    }
    seen: Seen = defaultdict(dict)
    for line in _all_seen(json.dumps(asked), home):
        seen[line["client"]][line["check"]] = line.get("seen")
    return seen


def _all_seen(asked: str, home: Path) -> Iterator[dict[str, Any]]:
    node = Path(sys.executable).parent.parent / "node/bin/node"
    yield from _told([PYTHON, PROGRAMS / "together.py", asked, *_programs(".py")], home)
    with ThreadPoolExecutor(2) as running:
        alone = [[node, PROGRAMS / each, asked] for each in _programs(".mjs")]
        for lines in running.map(lambda argv: _told(argv, home), alone):
            yield from lines


def _programs(suffix: str) -> list[str]:
    return [each for each in CLIENTS if each.endswith(suffix)]


def _told(argv: Sequence[str | Path], home: Path) -> list[dict[str, Any]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    ran = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if ran.returncode:
        pytest.fail(ran.stderr[-3000:])
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(("client", "check"), EVERY)
def test_a_client_sees_what_it_asked_for(seen: Seen, client: str, check: str) -> None:
    assert seen[client].get(check) == WANTED[check]
