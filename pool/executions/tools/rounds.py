"""The rounds of an execution that calls its caller's tools, as they are kept, and what is decided
about them: which calls some results are of, and what each round has used. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pool.errors import Conflict, InvalidRequest
from pool.executions.tools.client_tools import Round, ToolCall, ToolResult, results_digest
from pool.usage.records import ModelUsage, Usage, usage_report
from pool.values import Instant, Value


class KeptRound(Value):
    """A round as its subscription keeps it."""

    number: int
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop_reason: str | None = None
    usage: Usage = Usage()
    cursor: str
    ended_at: Instant
    results_digest: str | None = None
    """Of the results of its calls, once they came."""

    def shown(self) -> Round:
        kept = {name: getattr(self, name) for name in Round.model_fields if name != "usage"}
        return Round(**kept, usage=usage_report(self.usage))

    def without_content(self) -> KeptRound:
        """The round without what was said."""
        calls = tuple(call.model_copy(update={"input": {}}) for call in self.tool_calls)
        return self.model_copy(update={"text": "", "tool_calls": calls})


class Continuation(Value):
    """What an execution goes on from that begins with the results of another one's calls."""

    execution_id: str
    """The one that made the calls, and has ended."""
    model: str
    """The one that made them."""
    text: str
    """What it said beside."""
    calls: tuple[ToolCall, ...]
    results: tuple[ToolResult, ...]
    begins: bool = False
    """Nothing was said in its session before it, so that it has the same system prompt."""
    is_first: bool = False
    """Nor in it before the calls, but its prompt."""

    def without_content(self) -> Continuation:
        calls = tuple(call.model_copy(update={"input": {}}) for call in self.calls)
        return self.model_copy(update={"text": "", "calls": calls, "results": ()})


def answered(rounds: Sequence[KeptRound], results: Sequence[ToolResult]) -> KeptRound:
    """The round whose calls some results are of, with their digest; as it was where the same ones
    came before.

    ``InvalidRequest`` where a call of it has no result, or a result is of none of them;
    ``Conflict`` where others came before.
    """
    ids = [each.tool_use_id for each in results]
    made = next((each for each in rounds if _ids(each) & set(ids)), None)
    if made is None:
        named = ", ".join(map(repr, ids[:3]))
        raise InvalidRequest("results", f"{named}: this execution has made no such call")
    if stray := [id_ for id_ in ids if id_ not in _ids(made)]:
        raise InvalidRequest("results", f"{stray[0]!r} is none of the calls that it waits for")
    if missing := [call.id for call in made.tool_calls if call.id not in ids]:
        named = ", ".join(map(repr, missing))
        raise InvalidRequest("results", f"no result for {named}: send those of all calls at once")
    digest = results_digest(results)
    if made.results_digest not in {None, digest}:
        raise Conflict("other results of these calls came before: they stand")
    return made.model_copy(update={"results_digest": digest})


def spent(rounds: Iterable[KeptRound]) -> Usage:
    """What some rounds have used together."""
    return sum((each.usage for each in rounds), Usage())


def less(usage: Usage, known: Usage) -> Usage:
    """What is left of a usage without what is known of it."""
    nothing = ModelUsage()
    names = sorted({*usage.models, *known.models})
    return Usage(
        models={
            name: _difference(usage.models.get(name, nothing), known.models.get(name, nothing))
            for name in names
        }
    )


def rest(rounds: Sequence[KeptRound], usage: Usage, last: KeptRound) -> tuple[KeptRound, ...]:
    """The rounds of an execution that has used so much: what none of them has used is the last
    one's, so that they sum up to it.

    ``last`` stands for what came after the results of the others; where nothing was asked for
    since, it is their last one itself, and stands among them already.
    """
    before = tuple(each for each in rounds if each.number < last.number)
    return (*before, last.model_copy(update={"usage": less(usage, spent(before))}))


def _difference(usage: ModelUsage, known: ModelUsage) -> ModelUsage:
    fields = ModelUsage.model_fields
    return ModelUsage(**{name: getattr(usage, name) - getattr(known, name) for name in fields})


def _ids(made: KeptRound) -> set[str]:
    return {call.id for call in made.tool_calls}
