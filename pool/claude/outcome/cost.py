"""The cost of a run, from what the CLI printed about it.

``total_cost_usd`` and ``modelUsage`` of 2.1.330 run over the whole session, resumes included, those
of 2.1.197 over one run, and ``usage`` is wrong after resends and aborts. So, in this order:

1. ``model_usage_since_last_result``: this run alone, by model. A run with several results is the
   sum of those that have it; one that has neither this nor a total adds nothing.
2. Where it is absent and the session is new, the totals are the run's.
3. Where the session was resumed, the totals either run on or are this run's. They are this run's
   if they are smaller than what the session is known to have cost already, or if they cover no
   more tokens than this run's ``usage``. Otherwise the run cost the difference, all of it booked
   on the run's model, since there is no earlier figure by model to subtract.
4. With no known base, running totals are taken whole: at worst too much is counted.

Totals only grow within a run: of several results the largest has them, whichever is the answer.
"""

from __future__ import annotations

from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.output.stream import StreamReading
from pool.claude.output.tokens import message_usage, nano, usage_by_model
from pool.usage.records import ModelUsage, Usage
from pool.usage.totals import total_usage

_SINCE_LAST = "model_usage_since_last_result"


def run_usage(reading: StreamReading, launch: Launch) -> Usage:
    """Usage of this run alone, as its results have it; nothing where there is no result."""
    result = _largest(reading)
    if result is None:
        return Usage()
    since_last = [one[_SINCE_LAST] for one in reading.results if _is_told(one)]
    if since_last and not any(map(_tells_a_total_alone, reading.results)):
        return total_usage(map(usage_by_model, since_last))
    if _totals_are_the_runs(result, launch):
        return usage_by_model(result.get("modelUsage"))
    base = launch.session_total_nano_usd or 0
    if base == 0:
        return usage_by_model(result.get("modelUsage"))
    cost = nano(result.get("total_cost_usd")) - base
    usage = message_usage(result.get("usage")).model_copy(update={"cost_nano_usd": cost})
    return Usage(models={reading.model or launch.model: usage})


def later_usage(answered: StreamReading, later: StreamReading) -> Usage | None:
    """The usage of results after the answer; None where that is nothing. One that has a running
    total alone adds nothing here: the difference of the session's next turn has it.
    """
    known = [one["uuid"] for one in answered.results if one.get("uuid") is not None]
    new = [one for one in later.results if one.get("uuid") not in known]
    usage = total_usage(usage_by_model(one[_SINCE_LAST]) for one in new if _is_told(one))
    return usage if any(usage.total.model_dump().values()) else None


def tells_cost(reading: StreamReading) -> bool:
    """Whether every result says what it cost by itself, so that no difference has to be made of
    totals of which nobody knows whether they run over the process or the session.
    """
    return bool(reading.results) and all(map(_is_told, reading.results))


def session_total(reading: StreamReading, launch: Launch) -> int | None:
    """The session's running total after this run, the base of the next difference."""
    result = _largest(reading)
    if result is None or "total_cost_usd" not in result:
        return None
    total = nano(result["total_cost_usd"])
    if _is_told(result) or not _totals_are_the_runs(result, launch):
        return total
    return total + (launch.session_total_nano_usd or 0)


def _tells_a_total_alone(result: dict[str, Any]) -> bool:
    return not _is_told(result) and nano(result.get("total_cost_usd")) > 0


def _largest(reading: StreamReading) -> dict[str, Any] | None:
    return max(reading.results, key=lambda one: nano(one.get("total_cost_usd")), default=None)


def _is_told(result: dict[str, Any]) -> bool:
    return isinstance(result.get(_SINCE_LAST), dict | list)


def _totals_are_the_runs(result: dict[str, Any], launch: Launch) -> bool:
    if not launch.resumes:
        return True
    if nano(result.get("total_cost_usd")) < (launch.session_total_nano_usd or 0):
        return True
    this_run = _tokens(message_usage(result.get("usage")))
    return this_run > 0 and _tokens(usage_by_model(result.get("modelUsage")).total) <= this_run


def _tokens(usage: ModelUsage) -> int:
    return (
        usage.input_tokens
        + usage.output_tokens
        + usage.cache_creation_input_tokens
        + usage.cache_read_input_tokens
    )
