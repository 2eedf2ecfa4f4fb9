"""Conversations that sessions of the pool hold."""

from __future__ import annotations

from typing import Any

from api.dialects.conversations import Conversations
from pool.executions.request import ExecutionRequest

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
ASKED = {"role": "user", "content": "hi"}
ANSWERED = {"role": "assistant", "content": "yes"}
NEXT = {"role": "user", "content": "and?"}


def request(*messages: dict[str, Any], **more: Any) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"messages": list(messages), **more})


def after_one_answer() -> Conversations:
    """Somebody has asked, and was answered."""
    conversations = Conversations()
    conversations.answered(ExecutionRequest(prompt="hi"), "ann", "yes", SESSION)
    return conversations


def test_a_history_that_a_session_holds_goes_on_there() -> None:
    further = after_one_answer().gone_on_with(request(ASKED, ANSWERED, NEXT), "ann")

    assert further is not None
    assert further.session_id == SESSION
    assert further.messages == request(NEXT).messages


def test_a_session_goes_on_from_its_end_alone() -> None:
    conversations, asked = after_one_answer(), request(ASKED, ANSWERED, NEXT)
    conversations.gone_on_with(asked, "ann")

    assert conversations.gone_on_with(asked, "ann") is None
    conversations.answered(asked, "ann", "so", SESSION)
    longer = request(ASKED, ANSWERED, NEXT, {"role": "assistant", "content": "so"}, NEXT)
    assert conversations.gone_on_with(longer, "ann") is not None


def test_nobody_gets_a_conversation_that_is_not_all_theirs() -> None:
    conversations, same = after_one_answer(), (ASKED, ANSWERED, NEXT)
    no = {"role": "assistant", "content": "no"}

    assert conversations.gone_on_with(request(*same), "bob") is None
    assert conversations.gone_on_with(request(ASKED, no, NEXT), "ann") is None
    assert conversations.gone_on_with(request(*same, model="opus"), "ann") is None
    assert conversations.gone_on_with(request(*same, system_prompt="Be brief."), "ann") is None
    assert conversations.gone_on_with(request(NEXT), "ann") is None
    assert conversations.gone_on_with(request(*same), "ann") is not None
