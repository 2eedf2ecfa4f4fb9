"""What of a request the API would read from its cache of prompts, as its documentation has it.

A prompt is its tools, its system prompt and its messages, block by block. Where a block is marked
with ``cache_control``, all up to there is kept, for five minutes or an hour from its last use, for
the same organization and model. A later request reads the longest beginning that is kept, looked
for at its marks and up to twenty blocks before each; it writes the rest up to its last mark, and
what stands after that is plain input. A choice of tools and settings of the thinking belong to the
messages. (Two things are simpler here: a token is four characters of JSON, and there is no
shortest prompt.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from api.demo.standin.bill import Usage

LOOKS_BACK = 20
MOST_KEPT = 10_000
_LIVES = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}


class _Prefix(NamedTuple):
    """A request up to the end of one of its blocks."""

    name: bytes
    tokens: int
    """Of all of it."""
    lives: str | None
    """For how long it is to be kept, where it is marked."""


class PromptCache:
    """The beginnings of prompts that are kept, by what they hold."""

    def __init__(self) -> None:
        self._until: dict[bytes, tuple[datetime, timedelta]] = {}

    def usage(self, account: str, body: dict[str, Any], now: datetime, output_tokens: int) -> Usage:
        """What a request of an account uses, and keep its beginnings from now on."""
        prefixes = list(_prefixes(account, body))
        marked = [number for number, each in enumerate(prefixes) if each.lives is not None]
        read = max((self._read_at(prefixes, number, now) for number in marked), default=0)
        written, before = {"5m": 0, "1h": 0}, read
        for number in marked:
            prefix = prefixes[number]
            lives = prefix.lives or "5m"
            written[lives] += max(0, prefix.tokens - before)
            before = max(before, prefix.tokens)
            self._keep(prefix.name, _LIVES[lives], now)
        return Usage(
            input_tokens=(prefixes[-1].tokens if prefixes else 0) - before,
            output_tokens=output_tokens,
            cache_creation_5m_input_tokens=written["5m"],
            cache_creation_1h_input_tokens=written["1h"],
            cache_read_input_tokens=read,
        )

    def clear(self) -> None:
        """Keep nothing."""
        self._until.clear()

    def _read_at(self, prefixes: list[_Prefix], mark: int, now: datetime) -> int:
        """How many tokens a mark finds kept, at its place or shortly before it."""
        for prefix in reversed(prefixes[max(0, mark - LOOKS_BACK) : mark + 1]):
            until, lives = self._until.get(prefix.name, (now, timedelta()))
            if until > now:
                self._keep(prefix.name, lives, now)
                return prefix.tokens
        return 0

    def _keep(self, name: bytes, lives: timedelta, now: datetime) -> None:
        self._until.pop(name, None)
        self._until[name] = (now + lives, lives)
        if len(self._until) > MOST_KEPT:
            del self._until[next(iter(self._until))]


def _prefixes(account: str, body: dict[str, Any]) -> Iterator[_Prefix]:
    """A request up to each of its blocks, in the order in which the cache has them."""
    digest, characters = hashlib.sha256(f"{account}/{body.get('model')}".encode()), 0
    for place, block in _blocks(body):
        mark = block.get("cache_control")
        plain = {name: value for name, value in block.items() if name != "cache_control"}
        written = json.dumps([place, plain], sort_keys=True).encode()
        digest.update(b"%d:" % len(written) + written)
        characters += len(written)
        lives = _lives(mark) if isinstance(mark, dict) else None
        yield _Prefix(digest.digest(), characters // 4, lives)


def _lives(mark: dict[str, Any]) -> str:
    return "1h" if mark.get("ttl") == "1h" else "5m"


def _blocks(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Its blocks, each with where it stands."""
    for tool in body.get("tools") or []:
        yield "tool", tool
    for block in _parts(body.get("system")):
        yield "system", block
    settings = json.dumps([body.get("tool_choice"), body.get("thinking")], sort_keys=True)
    for message in body.get("messages") or []:
        for block in _parts(message.get("content")):
            yield f"{message.get('role')} {settings}", block


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content or [] if isinstance(part, dict)]
