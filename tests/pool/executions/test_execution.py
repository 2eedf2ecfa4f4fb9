from typing import Any

import pytest
from pydantic import ValidationError

from pool.executions.execution import shown
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import MAX_PROMPT_BYTES, ExecutionRequest, request_digest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus, final_status
from pool.executions.tools.client_tools import ToolCall
from pool.executions.tools.permissions import AgentSettings
from pool.executions.tools.rounds import KeptRound
from pool.storage.documents import document, read_document
from tests.support.values.examples import NOON, completed


def problem_of(**body: object) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        ExecutionRequest.model_validate({"prompt": "hi"} | body)
    first = caught.value.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({"prompt": ""}, "prompt", "is empty: write what the model should do"),
        ({"prompt": " \n\t"}, "prompt", "is empty: write what the model should do"),
        (
            {"prompt": "a\x00b"},
            "prompt",
            "holds a NUL character, which no prompt can carry: remove it",
        ),
        (
            {"prompt": "x" * (MAX_PROMPT_BYTES + 1)},
            "prompt",
            "is 1000001 bytes long; the limit is 1000000",
        ),
        (
            {"prompt": "\ud800"},
            "prompt",
            "holds a lone surrogate: send valid Unicode text",
        ),
        (
            {"session_id": "nonsense"},
            "session_id",
            "is no UUID, such as 634fbb1e-4256-459f-9794-14ea9ca8dac8",
        ),
        ({"max_budget_usd": -1}, "max_budget_usd", "Input should be greater than 0"),
        ({"max_turns": 0}, "max_turns", "Input should be greater than or equal to 1"),
        ({"timeout_seconds": 0}, "timeout_seconds", "Input should be greater than 0"),
        ({"promt": "typo"}, "promt", "Extra inputs are not permitted"),
        (
            {"json_schema": {"properties": {"a": {"type": "text"}}}},
            "json_schema",
            "must be one or more of array, boolean, integer, null, number, object, string",
        ),
        (
            {"images": [{"media_type": "image/png", "data": "cGl4ZWxz"}]},
            "images.0.data",
            "is no image: send JPEG, PNG, GIF or WebP",
        ),
    ],
)
def test_bad_input_is_refused_with_its_field(
    body: dict[str, object], field: str, problem: str
) -> None:
    assert (field, problem) == problem_of(**body)


def test_a_system_prompt_may_be_as_long_as_a_prompt() -> None:
    longest = "x" * MAX_PROMPT_BYTES

    assert ExecutionRequest(prompt="hi", system_prompt=longest).system_prompt == longest
    assert problem_of(system_prompt=f"{longest}x")[0] == "system_prompt"


def test_a_schema_that_was_kept_before_schemas_were_checked_is_read_back() -> None:
    kept = ExecutionRequest.model_construct(prompt="hi", json_schema={"type": "text"})

    assert read_document(ExecutionRequest, document(kept)).json_schema == {"type": "text"}


def test_a_prompt_of_exactly_the_limit_is_taken() -> None:
    assert len(ExecutionRequest(prompt="x" * MAX_PROMPT_BYTES).prompt) == MAX_PROMPT_BYTES


def test_a_prompt_is_kept_verbatim() -> None:
    prompt = " /clear @/etc/passwd \n"

    assert prompt == ExecutionRequest(prompt=prompt).prompt


def test_how_an_answer_is_waited_for_does_not_make_another_request() -> None:
    waiting, background = (ExecutionRequest(prompt="q", background=flag) for flag in (False, True))

    assert request_digest(waiting) == request_digest(background)
    assert request_digest(waiting) != request_digest(ExecutionRequest(prompt="p"))


@pytest.mark.parametrize(
    ("kind", "evidence", "status"),
    [
        (FailureKind.MAX_TURNS, True, ExecutionStatus.FAILED),
        (FailureKind.TIMEOUT, True, ExecutionStatus.FAILED),
        (FailureKind.INTERRUPTED, True, ExecutionStatus.INTERRUPTED),
        (FailureKind.KILLED, True, ExecutionStatus.INTERRUPTED),
        (FailureKind.KILLED, False, ExecutionStatus.UNCERTAIN),
        (FailureKind.CANCELLED, False, ExecutionStatus.CANCELLED),
    ],
)
def test_every_end_has_one_status(
    kind: FailureKind, evidence: bool, status: ExecutionStatus
) -> None:
    assert status == final_status(Failed(kind=kind, message="", evidence=evidence))


def test_text_in_documents_of_a_request_can_be_kept_and_sent() -> None:
    document = {"a\ud83d": "b\0"}
    request = ExecutionRequest(
        prompt="q", json_schema=document, agent=AgentSettings(mcp_servers=document)
    )

    mended = {"a\ufffd": "b\ufffd"}
    assert (request.json_schema, request.agent.mcp_servers) == (mended, mended)
    assert request.model_dump_json()


SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
SAID = {"role": "user", "content": "hi"}
ANSWERED = {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({"messages": [ANSWERED, SAID]}, "messages", "begin with an answer"),
        ({"messages": [SAID, ANSWERED]}, "messages", "an answer cannot be begun for the model"),
        ({"messages": [SAID], "prompt": "go"}, "prompt", "goes without messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "prompt", "is empty"),
    ],
)
def test_a_conversation_stands_in_the_place_of_the_prompt(
    body: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem) as refused:
        ExecutionRequest.model_validate(body)

    assert refused.value.errors()[0]["loc"][0] == field


def test_a_session_is_told_no_history() -> None:
    messages = [SAID, ANSWERED, SAID]

    with pytest.raises(ValidationError, match="a session remembers by itself"):
        ExecutionRequest.model_validate({"messages": messages, "session_id": SESSION})
    assert ExecutionRequest.model_validate({"messages": [SAID], "session_id": SESSION})


def test_a_conversation_counts_and_is_removed_with_the_prompt() -> None:
    asked = ExecutionRequest.model_validate({"messages": [SAID, ANSWERED, SAID]})

    assert asked.input_tokens > ExecutionRequest(prompt="hi").input_tokens
    assert asked.without_content().messages == ()


def test_the_last_round_is_shown_once_its_outcome_is_durable() -> None:
    calls = (ToolCall(id="toolu_1", name="weather", input={}),)
    in_calls = KeptRound(number=0, tool_calls=calls, cursor="0-1", ended_at=NOON)
    last = KeptRound(number=1, text="21 degrees", cursor="0-end", ended_at=NOON)
    row = ExecutionRow(
        intent=Intent(
            execution_id="exec_1",
            request=ExecutionRequest(prompt="q"),
            session_id="634fbb1e-4256-459f-9794-14ea9ca8dac8",
            resumes=False,
            model="m",
            timeout_seconds=1,
            reserved_nano_usd=0,
            routing=Routing(score=1, reason="r"),
            created_at=NOON,
        ),
        status=ExecutionStatus.RUNNING,
        rounds=(in_calls, last),
    )
    ended = row.model_copy(update={"status": ExecutionStatus.SUCCEEDED, "outcome": completed()})

    assert [each.number for each in shown("ada", row).rounds] == [0]
    assert [each.number for each in shown("ada", ended).rounds] == [0, 1]
