"""Checks of one framework: run one after the other, each told as a line of JSON.

What is asked comes from the test, as JSON in the first argument: ``url`` of the pool, a ``key``, a
``real_cli_key`` and a ``spent_key``, ``model``, and a prompt for each check.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

os.environ |= {
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "NO_PROXY": "127.0.0.1",
}
"""Nothing but the pool is asked."""

ASKED: dict[str, Any] = json.loads(sys.argv[1])
URL, KEY, MODEL = ASKED["url"], ASKED["key"], ASKED["model"]
PROMPTS: dict[str, str] = ASKED["prompts"]
TURNS: list[Any] = ASKED["turns"]
"""Messages in the form that all APIs share."""
NO_MODEL = "claude-none-1"
NO_KEY = "sk-nobody"
REAL_CLI_KEY: str = ASKED["real_cli_key"]
"""Of somebody whom the real CLI answers."""
SPENT_KEY: str = ASKED["spent_key"]
"""Of somebody who has spent what there was for the day."""

Check = Callable[[], object]


class Colour(BaseModel):
    """A colour by its name."""

    name: str


class Adding:
    """A tool of the caller's, which counts its calls."""

    schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.calls = 0

    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        self.calls += 1
        return a + b

    def seen(self, answer: object) -> list[object]:
        """What came of it all, and how often it was called."""
        return [answer, self.calls]


def say(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def pieces(of: Iterable[str | None]) -> list[object]:
    """A text that came in pieces, and whether those were several."""
    came = [piece for piece in of if piece]
    return ["".join(came), len(came) > 1]


def failed(*checks: Check) -> list[object]:
    """The status of the error that each raises."""
    return [_status(check) for check in checks]


def _status(check: Check) -> object:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - each framework has errors of its own
        status = next((each for each in map(_told, _behind(error)) if each), None)
        return status or f"{type(error).__name__}: {error}"
    return "nothing was raised"


def _told(error: BaseException) -> object:
    return getattr(error, "status_code", None)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def run(clients: Mapping[str, Mapping[str, Check]]) -> None:
    """Run the checks of each client, and tell what was seen."""
    for client, checks in clients.items():
        for name, check in checks.items():
            try:
                seen = check()
            except Exception as error:  # noqa: BLE001 - the test shows it
                seen = f"{type(error).__name__}: {error}"
            print(json.dumps({"client": client, "check": name, "seen": seen}), flush=True)  # noqa: T201
