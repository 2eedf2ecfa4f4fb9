"""The stand-in's bill, to the nano-dollar: the second opinion on everything the pool says it
spent.

A request is on the bill from the moment its answer begins (input tokens) and gains its output
tokens when the answer ends, however it ends. Errors are never billed. Totals are exact over the
stand-in's life; single lines are kept up to a bound, oldest dropped first. Credentials appear as
fingerprints only. Every method may be called from any thread.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

MAX_LINES = 20_000


def fingerprint(token: str) -> str:
    """The first 12 hex digits of the token's SHA-256: enough to tell credentials apart, useless to
    log in with.
    """
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class Usage(BaseModel):
    """Tokens of one answer or of many. The default costs $0.0004 on Sonnet 5.5, $0.0006 on 4.5."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: NonNegativeInt = 100
    output_tokens: NonNegativeInt = 20
    cache_creation_5m_input_tokens: NonNegativeInt = 0
    cache_creation_1h_input_tokens: NonNegativeInt = 0
    cache_read_input_tokens: NonNegativeInt = 0

    def plus(self, other: Usage) -> Usage:
        """The sum, field by field."""
        mine, theirs = self.model_dump(), other.model_dump()
        return Usage(**{name: mine[name] + theirs[name] for name in mine})


NO_USAGE = Usage(input_tokens=0, output_tokens=0)

# Nano-dollars a token for input, output and reading the cache, by model prefix, first match wins:
# what CLI 2.1.330 itself counted, kind by kind. It never asks for Opus 4.0 and 4.1, it turns them
# into Opus 5.5; those two stand here at Anthropic's published price.
_PRICES: tuple[tuple[str, int, int, int], ...] = (
    ("claude-sonnet-4", 3_000, 15_000, 300),
    ("claude-sonnet-5-5", 2_000, 10_000, 100),
    ("claude-sonnet-5", 2_000, 10_000, 200),
    ("claude-haiku-4", 1_000, 5_000, 100),
    ("claude-haiku-5-5", 500, 2_500, 50),
    ("claude-opus-4-2025", 15_000, 75_000, 1_500),
    ("claude-opus-4-0", 15_000, 75_000, 1_500),
    ("claude-opus-4-1", 15_000, 75_000, 1_500),
    ("claude-opus-4-", 5_000, 25_000, 500),
    ("claude-opus-5-5", 4_000, 20_000, 200),
    ("claude-opus-5", 5_000, 25_000, 500),
    ("claude-fable-5", 8_000, 40_000, 200),
)
_SHORT_PROMPT_TOKENS = 100_000
"""Up to so many a prompt, its cache included, Haiku 5.5 costs a fifth."""


def cost_nano_usd(model: str, usage: Usage) -> int | None:
    """What the `usage` of one answer costs on `model` in nano-dollars; None when the model has no
    known price.

    Writing the cache costs 1.25 times the input price for five minutes and twice for an hour;
    reading it a tenth, on Sonnet 5.5 and Opus 5.5 a twentieth, on Fable a fortieth.
    """
    for prefix, per_input, per_output, per_read in _PRICES:
        if model.startswith(prefix):
            whole = (
                usage.input_tokens * per_input
                + usage.output_tokens * per_output
                + usage.cache_creation_5m_input_tokens * per_input * 5 // 4
                + usage.cache_creation_1h_input_tokens * per_input * 2
                + usage.cache_read_input_tokens * per_read
            )
            is_cheap = model.startswith("claude-haiku-5-5") and _is_short(usage)
            return whole // 5 if is_cheap else whole
    return None


def _is_short(usage: Usage) -> bool:
    counts = usage.model_dump(exclude={"output_tokens"})
    return sum(map(int, counts.values())) <= _SHORT_PROMPT_TOKENS


class Line(BaseModel):
    """One billed request. `open` while its answer is on the way, `cut` when the client did not get
    all of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    credential: str
    account: str
    model: str
    usage: Usage
    cost_nano_usd: int | None
    message_id: str
    request_id: str
    outcome: Literal["open", "completed", "cut"]
    billed_at: datetime


class Total(BaseModel):
    """A sum of lines; models without a known price add their tokens but no cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: int = 0
    usage: Usage = NO_USAGE
    cost_nano_usd: int = 0

    def plus(self, other: Total) -> Total:
        """The sum of both."""
        return Total(
            requests=self.requests + other.requests,
            usage=self.usage.plus(other.usage),
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
        )


class Bill:
    """All that was billed since the stand-in started or was last reset."""

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._max_lines = max_lines
        self._lock = threading.Lock()
        self._open: dict[str, Line] = {}
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._settled: dict[tuple[str, str], Total] = {}

    def begin(self, line: Line) -> None:
        """Put the input tokens of an answer that begins on the bill."""
        with self._lock:
            self._open[line.message_id] = self._lines[line.message_id] = line
            while len(self._lines) > self._max_lines:
                self._lines.popitem(last=False)

    def settle(self, message_id: str, outcome: Literal["completed", "cut"], usage: Usage) -> Line:
        """Close a line with what was really used and return it; KeyError when it is not open."""
        with self._lock:
            begun = self._open.pop(message_id)
            line = begun.model_copy(
                update={
                    "outcome": outcome,
                    "usage": usage,
                    "cost_nano_usd": cost_nano_usd(begun.model, usage),
                }
            )
            key = (line.credential, line.model)
            self._settled[key] = self._settled.get(key, Total()).plus(_total_of(line))
            if message_id in self._lines:
                self._lines[message_id] = line
            return line

    def lines(self, token: str | None = None) -> tuple[Line, ...]:
        """The lines, oldest first; those of one raw `token` when given."""
        wanted = None if token is None else fingerprint(token)
        with self._lock:
            return tuple(line for line in self._lines.values() if wanted in (None, line.credential))

    def total(self, token: str | None = None) -> Total:
        """Everything billed, to one raw `token` when given, lines still open included."""
        wanted = None if token is None else fingerprint(token)
        return _sum(total for (who, _), total in self._pairs().items() if wanted in (None, who))

    def by_credential(self) -> Mapping[str, Total]:
        """A total a credential, by fingerprint."""
        return self._grouped(0)

    def by_model(self) -> Mapping[str, Total]:
        """A total a model."""
        return self._grouped(1)

    def clear(self) -> None:
        """Forget everything settled; answers still on the way stay open and will be settled on the
        new bill.
        """
        with self._lock:
            self._settled.clear()
            self._lines = OrderedDict(self._open)

    def _grouped(self, position: Literal[0, 1]) -> Mapping[str, Total]:
        grouped: dict[str, Total] = {}
        for key, total in self._pairs().items():
            grouped[key[position]] = grouped.get(key[position], Total()).plus(total)
        return MappingProxyType(grouped)

    def _pairs(self) -> dict[tuple[str, str], Total]:
        with self._lock:
            pairs = dict(self._settled)
            for line in self._open.values():
                key = (line.credential, line.model)
                pairs[key] = pairs.get(key, Total()).plus(_total_of(line))
            return pairs


def _total_of(line: Line) -> Total:
    return Total(requests=1, usage=line.usage, cost_nano_usd=line.cost_nano_usd or 0)


def _sum(totals: Iterable[Total]) -> Total:
    result = Total()
    for total in totals:
        result = result.plus(total)
    return result
