"""What of a request the stand-in reads from its cache of prompts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.demo.standin.bill import Usage
from api.demo.standin.prompt_cache import LOOKS_BACK, PromptCache

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def text(words: str, **mark: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **mark}


def body(*messages: Any, **fields: Any) -> dict[str, Any]:
    """A request whose messages are the user's and the model's in turn."""
    roles = ["user", "assistant"] * len(messages)
    turns = [{"role": role, "content": [each]} for role, each in zip(roles, messages, strict=False)]
    return {
        "model": "claude-sonnet-5-5",
        "system": [text("Be brief.")],
        "messages": turns,
        **fields,
    }


class Asked:
    """One cache, and what it is asked."""

    def __init__(self) -> None:
        self.cache = PromptCache()
        self.now = NOON

    def __call__(self, asked: dict[str, Any], account: str = "one") -> Usage:
        return self.cache.usage(account, asked, self.now, 20)


@pytest.fixture
def ask() -> Asked:
    return Asked()


def whole(usage: Usage) -> int:
    written = usage.cache_creation_5m_input_tokens + usage.cache_creation_1h_input_tokens
    return usage.input_tokens + written + usage.cache_read_input_tokens


def test_what_is_not_marked_is_neither_written_nor_read(ask: Asked) -> None:
    first, second = ask(body(text("one"))), ask(body(text("one")))

    assert first == second == Usage(input_tokens=whole(first))


def test_a_growing_conversation_reads_all_that_was_marked_before(ask: Asked) -> None:
    first = ask(body(text("one", **MARK)))
    second = ask(body(text("one"), text("answer"), text("two", **MARK)))

    assert (first.input_tokens, first.cache_read_input_tokens) == (0, 0)
    assert second.cache_read_input_tokens == first.cache_creation_5m_input_tokens
    assert second.cache_creation_5m_input_tokens == whole(second) - whole(first)


def test_what_stands_behind_the_last_mark_is_plain_input(ask: Asked) -> None:
    usage = ask(body(text("one"), system=[text("Be brief.", **HOUR)]))

    assert usage.cache_creation_1h_input_tokens > 0
    assert usage.input_tokens == whole(usage) - usage.cache_creation_1h_input_tokens > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "claude-opus-5-5"},
        {"system": [text("Be long.")]},
        {"tools": [{"name": "Read"}]},
        {"tool_choice": {"type": "any"}},
        {"thinking": {"type": "adaptive"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_beginning_is_not_known(ask: Asked, changes: dict[str, Any]) -> None:
    ask(body(text("one", **MARK)))

    assert ask(body(text("one", **MARK), **changes)).cache_read_input_tokens == 0


def test_other_settings_of_the_thinking_leave_the_system_prompt_known(ask: Asked) -> None:
    system = [text("Be brief.", **MARK)]
    ask(body(text("one", **MARK), system=system))

    again = ask(body(text("one", **MARK), system=system, thinking={"type": "adaptive"}))

    assert 0 < again.cache_read_input_tokens < whole(again)


def test_each_account_has_its_own(ask: Asked) -> None:
    ask(body(text("one", **MARK)))

    assert ask(body(text("one", **MARK)), account="two").cache_read_input_tokens == 0


@pytest.mark.parametrize(("mark", "minutes"), [(MARK, 5), (HOUR, 60)])
def test_it_is_kept_for_its_time_from_its_last_use(
    ask: Asked, mark: dict[str, Any], minutes: int
) -> None:
    almost = timedelta(minutes=minutes) - timedelta(seconds=1)
    reads = []
    for pause in (timedelta(), almost, almost, timedelta(minutes=minutes)):
        ask.now += pause
        reads.append(ask(body(text("one", **mark))).cache_read_input_tokens > 0)

    assert reads == [False, True, True, False]


def test_a_mark_finds_what_ended_a_few_blocks_before_it(ask: Asked) -> None:
    ask(body(text("one", **MARK)))
    near = [text(f"{number}") for number in range(LOOKS_BACK - 1)]

    assert ask(body(text("one"), *near, text("two", **MARK))).cache_read_input_tokens > 0
    ask.cache.clear()
    ask(body(text("one", **MARK)))
    assert (
        ask(body(text("one"), *near, text("x"), text("two", **MARK))).cache_read_input_tokens == 0
    )
