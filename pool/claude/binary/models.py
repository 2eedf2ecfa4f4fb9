"""The models that the CLI offers, by its own word.

``initialize`` is a control request that every run begins with, and its answer lists the models of
the account: by name (``sonnet``) what it runs as (``claude-sonnet-5-5``). Without a prompt nothing
is run. Seen on 2.1.330: 0.3 s, no credential and no network needed; the names are the same for all,
but ``default`` is Opus for an API key and Sonnet for a setup token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from pool.claude.binary.locate import FIELD, ask
from pool.errors import ConfigError
from pool.usage.model_names import ModelId
from pool.values import Value

MOST_MODELS = 50
KEPT_SECONDS = 1800.0
"""Less than the hour after which a subscription asks again."""
_MODEL = TypeAdapter[str](ModelId)
_QUESTION = b'{"type":"control_request","request_id":"models","request":{"subtype":"initialize"}}\n'
QUIET_ARGUMENTS = (
    *("-p", "--verbose", "--output-format=stream-json", "--input-format=stream-json"),
    *("--tools=", "--strict-mcp-config", "--setting-sources=", "--restricted"),
    *("--permission-prompts=none", "--disable-slash-commands", "--no-session-persistence"),
)
"""For a CLI that answers a question and gets no prompt."""


async def offered_models(
    executable: Path, environment: Mapping[str, str], *, seconds: float = 30
) -> dict[str, str]:
    """Ask the CLI, in the environment of a run. ConfigError where it does not say."""
    answer = await ask(
        executable, *QUIET_ARGUMENTS, environment=environment, stdin=_QUESTION, seconds=seconds
    )
    found = read_models(answer.stdout)
    if not found:
        raise ConfigError(FIELD, f"{str(executable)!r} does not say which models it offers")
    return found


def read_models(printed: str) -> dict[str, str]:
    """The models in what the CLI has printed, up to a bound; empty where there are none."""
    return dict([pair for each in _listed(printed) if (pair := _model(each))][:MOST_MODELS])


def _listed(printed: str) -> Iterator[Any]:
    for line in printed.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            message = json.loads(line)
            if message["type"] == "control_response":
                yield from message["response"]["response"]["models"]


def _model(entry: Any) -> tuple[str, str] | None:
    """A name that may be chosen, and what it runs as; older releases do not tell the latter."""
    if not isinstance(entry, dict) or entry.get("disabled") is True:
        return None
    with suppress(ValidationError):
        name = _MODEL.validate_python(entry.get("value"))
        return name, _MODEL.validate_python(entry.get("resolvedModel") or name)
    return None


class ModelsFile(Value):
    """The models that a CLI told of, for the next activation: a subscription that wakes up starts
    no CLI to hear the same again.
    """

    asked: str
    """A digest of the CLI and of what it was asked in."""
    models: dict[ModelId, ModelId] = Field(min_length=1, max_length=MOST_MODELS)

    @classmethod
    def read(cls, path: Path, asked: str) -> dict[str, str] | None:
        """What was told in the same surroundings less than half an hour ago. Blocking."""
        with suppress(OSError, ValidationError):
            age = time.time() - path.stat().st_mtime
            kept = cls.model_validate_json(path.read_bytes())
            if kept.asked == asked and 0 <= age < KEPT_SECONDS:
                return kept.models
        return None

    def write(self, path: Path) -> None:
        """Where it cannot be written it is asked for again. Blocking."""
        draft = path.with_suffix(".new")
        with suppress(OSError):
            draft.write_text(self.model_dump_json(), encoding="utf-8")
            draft.replace(path)
