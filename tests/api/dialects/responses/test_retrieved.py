"""Responses that OpenAI's SDK asks for by their ids."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from api.dialects.responses.retrieved import retrieved
from pool.errors import NotFound
from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import Round, ToolCall
from tests.support.callers.sdks import openai
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import SONNET, completed, usage_of


def told(response: openai.types.responses.Response) -> dict[str, Any]:
    """A response, without what only its request said."""
    return response.model_dump(exclude={"instructions", "previous_response_id", "text", "tools"})


async def ask(gpt: openai.AsyncOpenAI, **more: Any) -> openai.types.responses.Response:
    answer: openai.types.responses.Response = await gpt.responses.create(
        model=SONNET, input="Hello", **more
    )
    return answer


async def begun(local_pool: LocalPool) -> str:
    """The id of a response that is being made."""
    local_pool.runner.hold = True
    started = await local_pool.client.start(ExecutionRequest(prompt="Hello", model=SONNET))
    await local_pool.runner.wait_for_runs(1)
    return started.id.replace("exec_", "resp_")


async def test_a_response_is_found_as_it_was(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    refusal = Failed(kind=FailureKind.REFUSAL, message="no", usage=usage_of())
    structured = completed().model_copy(update={"structured_output": {"name": "red"}})
    cut_off = completed().model_copy(update={"stop_reason": "max_tokens"})
    local_pool.runner.script = [completed("Hi"), refusal, structured, cut_off]
    schema: Any = {"format": {"type": "json_schema", "name": "any", "schema": {}}}
    more = [{"metadata": {"run": "7"}, "user": "anna"}, {}, {"text": schema}, {}]
    given = [await ask(gpt, **each) for each in more]

    again = [await gpt.responses.retrieve(each.id) for each in given]

    assert [each.status for each in again] == ["completed", "incomplete", "completed", "incomplete"]
    assert again[2].output_text == '{"name": "red"}'
    assert list(map(told, again)) == list(map(told, given))


async def test_one_that_is_being_made_is_in_progress(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    id_ = await begun(local_pool)

    meanwhile = await gpt.responses.retrieve(id_)
    local_pool.runner.runs[0].end(completed("Hi"))
    await local_pool.client.result(id_.replace("resp_", "exec_"), wait_seconds=30)
    ended = await gpt.responses.retrieve(id_)

    assert (meanwhile.status, meanwhile.background, meanwhile.output) == ("in_progress", True, [])
    assert (ended.status, ended.background, ended.output_text) == ("completed", False, "Hi")


async def test_one_without_an_answer_says_why(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    ids = [await begun(local_pool) for _ in range(2)]
    failed, cancelled = (id_.replace("resp_", "exec_") for id_ in ids)
    local_pool.runner.runs[0].end(
        Failed(kind=FailureKind.TIMEOUT, message="too long", usage=usage_of())
    )
    await local_pool.client.result(failed, wait_seconds=30)
    await local_pool.client.cancel(cancelled)

    found = [await gpt.responses.retrieve(each) for each in ids]

    assert [each.status for each in found] == ["failed", "cancelled"]
    assert found[0].error is not None
    assert "too long" in found[0].error.message
    assert found[1].error is None


class Known:
    """Stands for a client that knows one execution."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    async def result(self, execution_id: str) -> Execution:
        assert execution_id == self._execution.id
        return self._execution


async def test_each_round_of_a_callers_tools_has_its_own(local_pool: LocalPool) -> None:
    ended = await local_pool.client.execute(ExecutionRequest(prompt="Hello", model=SONNET))
    call = ToolCall(id="toolu_1", name="look", input={"at": 1})
    spent = ended.usage.model_copy(update={"input_tokens": 7})
    about = {"usage": spent.model_dump(exclude={"partial"}), "cursor": "0-9"}
    rounds = (
        Round(number=0, text="Hm.", tool_calls=(call,), ended_at=ended.created_at, **about),
        Round(number=1, text="yes", ended_at=ended.created_at, **about),
    )
    waits = {"status": ExecutionStatus.WAITING_FOR_CALLER, "rounds": rounds[:1]}
    whole: Any = Known(ended.model_copy(update={"rounds": rounds}))
    waiting: Any = Known(ended.model_copy(update=waits))
    running: Any = Known(ended.model_copy(update={**waits, "status": ExecutionStatus.RUNNING}))
    first = ended.id.replace("exec_", "resp_")

    made, last = await retrieved(whole, first), await retrieved(whole, f"{first}-1")
    meanwhile = await retrieved(running, f"{first}-1")

    assert [each.type for each in made.output] == ["message", "function_call"]
    assert made == await retrieved(waiting, first)
    assert [each.type for each in last.output] == ["message"]
    assert made.usage is not None
    assert made.usage.input_tokens == 7 + spent.cache_read_input_tokens
    assert (meanwhile.status, meanwhile.id) == ("in_progress", f"{first}-1")
    for client, unknown in ((waiting, f"{first}-1"), (whole, f"{first}-2"), (whole, f"{first}-0")):
        with pytest.raises(NotFound):
            await retrieved(client, unknown)


@pytest.mark.parametrize("id_", ["resp_nothing", "nothing", "resp_01-x"])
async def test_an_unknown_id_is_a_404(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool, id_: str
) -> None:
    del local_pool

    with pytest.raises(openai.NotFoundError, match=f"no response '{id_}' is known"):
        await gpt.responses.retrieve(id_)


async def test_what_else_is_done_with_one_is_refused_with_the_reason(
    gpt: openai.AsyncOpenAI, http: AsyncClient, local_pool: LocalPool
) -> None:
    del local_pool
    id_ = (await ask(gpt)).id

    with pytest.raises(openai.APIStatusError, match="goes when its execution does") as deleted:
        await gpt.responses.delete(id_)
    with pytest.raises(openai.NotFoundError, match=r"POST /v1/executions/\{id\}/cancel"):
        await gpt.responses.cancel(id_)
    with pytest.raises(openai.NotFoundError, match="keeps no input"):
        await gpt.responses.input_items.list(id_)

    assert deleted.value.status_code == 405
    assert (await http.delete("/v1/models/sonnet")).json()["error"]["message"] != str(deleted.value)
