"""Conversations by their digests: whose history is which session's."""

from __future__ import annotations

from typing import Any

from api.dialects.conversations import conversation_after, history_of
from pool.executions.request import ExecutionRequest

ASKED = {"role": "user", "content": "hi"}
ANSWERED = {"role": "assistant", "content": "yes"}
NEXT = {"role": "user", "content": "and?"}
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"


def request(*messages: dict[str, Any], **more: Any) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"messages": list(messages), **more})


def after_one_answer() -> str | None:
    """Somebody has asked, and was answered."""
    return conversation_after(ExecutionRequest(prompt="hi"), "ann", None, "yes")


def test_a_history_is_known_by_what_was_asked_and_answered() -> None:
    longer = request(ASKED, ANSWERED, NEXT)

    assert history_of(longer, "ann", None) == after_one_answer() is not None
    so = {"role": "assistant", "content": "so"}
    assert history_of(request(ASKED, ANSWERED, NEXT, so, NEXT), "ann", None) == conversation_after(
        longer, "ann", None, "so"
    )


def test_nobody_gets_a_conversation_that_is_not_all_theirs() -> None:
    same, no = (ASKED, ANSWERED, NEXT), {"role": "assistant", "content": "no"}

    others = [
        history_of(request(*same), "bob", None),
        history_of(request(*same), "ann", "blue"),
        history_of(request(ASKED, no, NEXT), "ann", None),
        history_of(request(*same, model="opus"), "ann", None),
        history_of(request(*same, system_prompt="Be brief."), "ann", None),
    ]

    assert after_one_answer() not in others
    assert len(set(others)) == len(others)


def test_what_begins_a_conversation_or_names_a_session_goes_on_from_none() -> None:
    assert history_of(request(NEXT), "ann", None) is None
    assert history_of(request(NEXT, session_id=SESSION), "ann", None) is None
    named = ExecutionRequest(prompt="hi", session_id=SESSION)
    assert conversation_after(named, "ann", None, "yes") is None
    assert conversation_after(ExecutionRequest(prompt="hi"), "ann", None, " ") is None


def test_nothing_that_was_said_stands_in_a_digest() -> None:
    digest = after_one_answer()

    assert digest is not None
    assert len(digest) == 64
    assert int(digest, 16) > 0
