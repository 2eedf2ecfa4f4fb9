"""Executions that call their caller's tools, told beforehand: in place of those of a pool."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pool.errors import NotFound
from pool.executions.execution import Execution
from pool.executions.progress import (
    Ended,
    Event,
    Progress,
    Text,
    ToolCalled,
    ToolCallPiece,
    WaitsForCaller,
)
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import Round, ToolCall, ToolResult
from pool.money import nano_usd
from pool.usage.records import ModelUsage, Usage, usage_report
from tests.support.values.examples import NOON, SONNET


def call(name: str, id_: str = "toolu_1", **given: Any) -> ToolCall:
    return ToolCall(id=id_, name=name, input=given)


@dataclass
class ToolRounds:
    """An execution of rounds: each said a text and made calls, the last one made none. It stands in
    for the methods of a client, and notes what it was asked.
    """

    ended: Execution
    said: Sequence[tuple[str, Sequence[ToolCall]]]
    before: Sequence[Progress] = ()
    """Events of the first round, before all others."""
    asked: list[ExecutionRequest] = field(default_factory=list)
    given: list[tuple[ToolResult, ...]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def at(self, number: int) -> Execution:
        """As it is once this round has ended."""
        rounds = tuple(self._round(each) for each in range(number + 1))
        if not self.said[number][1]:
            return self.ended.model_copy(update={"rounds": rounds, "result": self.said[number][0]})
        waits = ExecutionStatus.WAITING_FOR_CALLER
        return self.ended.model_copy(
            update={
                "status": waits,
                "rounds": rounds,
                "tool_calls": rounds[-1].tool_calls,
                "result": None,
                "finished_at": None,
            }
        )

    def _round(self, number: int) -> Round:
        text, calls = self.said[number]
        used = ModelUsage(
            input_tokens=100 + number, output_tokens=10, cost_nano_usd=nano_usd("0.001")
        )
        return Round(
            number=number,
            text=text,
            tool_calls=tuple(calls),
            stop_reason="tool_use" if calls else "end_turn",
            usage=usage_report(Usage(models={SONNET: used})),
            cursor=f"0-{number + 1}",
            ended_at=NOON,
        )

    async def start(self, request: ExecutionRequest, **_: Any) -> Execution:
        self.asked.append(request)
        return self.at(0).model_copy(update={"status": ExecutionStatus.RUNNING, "rounds": ()})

    async def execution_of_calls(self, ids: Sequence[str]) -> Execution:
        made = {each.id for _, calls in self.said for each in calls}
        if not made >= set(ids):
            raise NotFound("tool call", ids[0])
        return self.at(self._made(ids))

    async def tool_results(self, _: str, results: tuple[ToolResult, ...]) -> Execution:
        self.given.append(results)
        return self.at(self._made([each.tool_use_id for each in results]))

    def _made(self, ids: Sequence[str]) -> int:
        """The number of the round that made some calls."""
        rounds = enumerate(calls for _, calls in self.said)
        return next(at for at, calls in rounds if {each.id for each in calls}.intersection(ids))

    async def round_ended(self, _: str, number: int) -> Execution:
        return self.at(number)

    async def events(
        self, _: str, *, after: str | None = None, raw: bool = False
    ) -> AsyncGenerator[Event, None]:
        number = int(after.partition("-")[2]) if after else 0
        for progress in (*(self.before if not number else ()), *self._told(number)):
            yield Event(cursor="0-0", progress=progress)

    def _told(self, number: int) -> list[Progress]:
        made = self._round(number)
        told: list[Progress] = [Text(text=made.text)] if made.text else []
        for each in made.tool_calls:
            text = "".join(f'"{name}":"{value}"' for name, value in each.input.items())
            pieces = ("", "{" + text[:3], text[3:] + "}")
            told += [ToolCallPiece(id=each.id, name=each.name, partial_json=it) for it in pieces]
            told.append(ToolCalled(call=each))
        if not made.tool_calls:
            return [*told, Ended(execution=self.at(number))]
        return [*told, WaitsForCaller(execution_id=self.ended.id, round=made)]

    async def cancel(self, id_: str) -> None:
        self.cancelled.append(id_)
