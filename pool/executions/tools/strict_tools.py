"""Callers' tools whose calls are held to their schemas: what a caller gets of them conforms.

The CLI sends ``strict`` on for no tool of a caller's (seen of 2.1.330), so the provider holds the
model to nothing. The pool checks instead: calls that do not conform are not shown to the caller,
and answered with what is wrong with them; the model makes them anew in the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pool.executions.tools.client_tools import ClientTool, ToolCall

MOST_REFUSED = 3
"""Answers of the model in a row whose calls are refused; then the execution fails."""
_BESIDE = (
    "It was not made, since another call of the same answer does not fit its schema. Call again."
)
_ANEW = "The input does not fit the tool's schema. Call it again with an input that does."


@dataclass(frozen=True)
class StrictTools:
    """The schemas of strict tools, by their names."""

    schemas: Mapping[str, dict[str, Any]]

    @classmethod
    def of(cls, tools: Iterable[ClientTool]) -> StrictTools:
        return cls({tool.name: tool.input_schema for tool in tools if tool.strict})

    def __bool__(self) -> bool:
        return bool(self.schemas)

    def __deepcopy__(self, known: dict[int, Any]) -> StrictTools:
        return self

    def refused(self, calls: Iterable[ToolCall]) -> dict[str, str]:
        """What each of the calls of an answer is answered, where one does not conform; nothing
        where all do.
        """
        made = tuple(calls)
        wrong = {call.id: problem for call in made if (problem := self._problem(call)) is not None}
        return {call.id: wrong.get(call.id, _BESIDE) for call in made} if wrong else {}

    def _problem(self, call: ToolCall) -> str | None:
        schema = self.schemas.get(call.name)
        if schema is None:
            return None
        # It takes 60 ms to import, and only strict tools need it.
        from pool.executions.schemas.conformity import faults  # noqa: PLC0415

        found = faults(schema, call.input)
        return "\n".join([_ANEW, *found]) if found else None
