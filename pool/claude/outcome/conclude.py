"""The outcome of a run, from what it printed and how its process ended. Pure.

A run has answered if it gave a result that is no error, took a turn of the model, and holds an
answer. That answer was paid for and is whole: neither what the CLI prints after it nor how its
process ends takes it away, unless it printed more than it may. Everything else has a name in
``FailureKind``, also a result that says it is none and holds nothing, or not what was asked for.

``evidence`` says whether what was spent is known. It is, where nothing was asked of the API, and
where the result accounts for every answer that began. A run that had begun and left no result is
settled from what its output and the session's transcript show of its answers: it has evidence if
they show one, and if everything they show has a price; the cost is then a lower bound
(``UsageSource.PARTIAL``), and the outcome says how many answers were cut off and how many requests
were never seen answered. Tokens without a price are kept and are no evidence, since what is to be
known is money: a budget that counted them as free would be wrong by all of them. ``rescan`` prices
them when a price has been learned.

A result may leave out answers that were seen to begin: after a cut connection or an error in
mid-stream the CLI reports a cost of 0, and the API bills what it sent. What the result counts and
what was seen beyond that are then a lower bound in the same way.
"""

from __future__ import annotations

from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.cost import run_usage, session_total
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.outcome.evidence import beyond, evidence
from pool.claude.outcome.failure import (
    NO_CONVERSATION,
    could_start_up,
    failure_kind,
    is_ambiguous,
    nothing_was_sent,
    regains_access_at,
)
from pool.claude.outcome.message import ending_message, result_message, signal_name
from pool.claude.output.stream import StreamReading, is_answer, is_error
from pool.claude.output.tokens import count
from pool.claude.transcripts.transcript import Transcript
from pool.executions.content.turn import ThinkingPart
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.executions.schemas.answer_schema import opened
from pool.usage.records import Usage, UsageSource

_ENDED = {
    EndedBy.REQUEST: FailureKind.INTERRUPTED,
    EndedBy.DEADLINE: FailureKind.TIMEOUT,
    EndedBy.OUTPUT_LIMIT: FailureKind.OUTPUT_LIMIT,
    EndedBy.LINGERED: FailureKind.EXECUTION_ERROR,
}

_UNANSWERED = {
    "refusal": FailureKind.REFUSAL,
    "max_tokens": FailureKind.ANSWER_TOO_LONG,
    "model_context_window_exceeded": FailureKind.CONTEXT_FULL,
}
"""What a stop before any answer is, by its reason."""

_NO_TRANSCRIPT = Transcript()


def conclude(
    reading: StreamReading, ending: Ending, launch: Launch, transcript: Transcript = _NO_TRANSCRIPT
) -> Completed | Failed:
    """The outcome of a run: how it ended, what it says, and what it cost.

    ``transcript`` is looked at where the run left no result.
    """
    if not ending.started:
        return _not_started(ending, launch)
    if reading.result is None:
        return _without_result(reading, ending, launch, transcript)
    is_undisturbed = ending.ended_by in {None, EndedBy.LINGERED}
    if launch.stops_at_max_tokens and reading.cut_off is not None and is_undisturbed:
        return _cut_off(reading, reading.cut_off, launch)
    if is_answer(reading.result) and ending.ended_by is not EndedBy.OUTPUT_LIMIT:
        return _answered(reading, reading.result, launch)
    return _with_error(reading, reading.result, ending, launch)


def _answered(reading: StreamReading, result: dict[str, Any], launch: Launch) -> Completed | Failed:
    answer, stop_reason = reading.answer, result.get("stop_reason")
    _, structured = opened(result)
    known = {**_reported(reading, launch), "usage": run_usage(reading, launch)}
    if (missing := _missing(reading, answer, result, launch)) is not None:
        return Failed(**known, kind=missing, message=ending_message(missing))
    return Completed(
        **known,
        result=answer,
        structured_output=structured,
        stop_reason=stop_reason if isinstance(stop_reason, str) else None,
        stop_sequence=reading.stop_sequence,
        thinking=_thinking(reading, launch),
    )


def _cut_off(reading: StreamReading, said: str, launch: Launch) -> Completed:
    """An answer that ends where its caller would have it end. The CLI has had the model go on, in
    which it may have failed; what that cost is counted.
    """
    return Completed(
        **_reported(reading, launch),
        usage=run_usage(reading, launch),
        result=said,
        stop_reason="max_tokens",
        thinking=_thinking(reading, launch),
    )


def _thinking(reading: StreamReading, launch: Launch) -> tuple[ThinkingPart, ...]:
    asked = launch.model_settings.thinking
    return reading.thinking if asked is not None and asked.type != "disabled" else ()


def _missing(
    reading: StreamReading, answer: str, result: dict[str, Any], launch: Launch
) -> FailureKind | None:
    """What a result that claims to be an answer lacks."""
    structured, stop_reason = result.get("structured_output"), result.get("stop_reason")
    if launch.json_schema is not None:
        kind = FailureKind.SCHEMA_MISMATCH if structured is None else None
    elif answer or structured is not None or reading.used_tools:
        kind = None
    else:
        kind = FailureKind.EMPTY_ANSWER
    return kind and _UNANSWERED.get(str(stop_reason), kind)


def _not_started(ending: Ending, launch: Launch) -> Failed:
    # Asked to stop before it began: that is what happened, not a failure to start.
    asked = ending.ended_by is EndedBy.REQUEST
    kind = FailureKind.STARTUP_FAILED if ending.is_unfit else FailureKind.NOT_STARTED
    kind = FailureKind.INTERRUPTED if asked else kind
    detail = "before it began" if asked else ending.problem or ""
    return Failed(
        kind=kind,
        message=ending_message(kind, detail=detail, stderr=ending.stderr),
        session_id=launch.session_id if launch.resumes else None,
    )


def _with_error(
    reading: StreamReading, result: dict[str, Any], ending: Ending, launch: Launch
) -> Failed:
    kind, message = _named(reading, result, ending, launch)
    counted, seen = run_usage(reading, launch), evidence(reading, _NO_TRANSCRIPT)
    began = bool(seen.usage.models) and not counted.models
    if began or _asked(seen.usage) > _asked(counted):
        cost = launch.rates.estimate(beyond(seen.usage, counted), seen.hour_writes)
        return Failed(
            **{**_reported(reading, launch), "usage_source": UsageSource.PARTIAL},
            usage=counted + cost.usage,
            kind=kind,
            message=message,
            evidence=not cost.unpriced,
            unfinished_answers=seen.unfinished,
            assumed_prices=cost.assumed,
        )
    was_sent = kind is not FailureKind.CONNECTION or bool(counted.models)
    spending = kind is FailureKind.SPEND_LIMIT
    return Failed(
        **_reported(reading, launch),
        usage=counted,
        kind=kind,
        message=message,
        evidence=was_sent or nothing_was_sent(result),
        is_ambiguous=is_ambiguous(kind, result),
        retry_at=regains_access_at(reading, result) if spending else None,
    )


def _named(
    reading: StreamReading, result: dict[str, Any], ending: Ending, launch: Launch
) -> tuple[FailureKind, str]:
    if ending.ended_by is not None and ending.ended_by is not EndedBy.LINGERED:
        kind = _ENDED[ending.ended_by]
        return kind, ending_message(kind, detail=_bound(kind, launch))
    if is_error(result):
        kind = failure_kind(reading, result, launch)
        return kind, result_message(kind, result, launch)
    if (number := _signal(ending)) is not None:
        kind = FailureKind.KILLED
        return kind, ending_message(kind, detail=signal_name(number))
    kind = FailureKind.EXECUTION_ERROR
    return kind, ending_message(kind, detail="it answered without asking the model")


def _without_result(
    reading: StreamReading, ending: Ending, launch: Launch, transcript: Transcript
) -> Failed:
    kind, detail = _named_without_result(reading, ending, launch)
    seen = evidence(reading, transcript)
    cost = launch.rates.estimate(seen.usage, seen.hour_writes)
    # Garbage may have been anything, also the line that would have shown it; so may what is lost.
    began = reading.init_seen or reading.garbage_lines > 0 or ending.may_have_lost_output
    is_known = seen.answers > 0 and not cost.unpriced
    return Failed(
        **{**_reported(reading, launch), "usage_source": UsageSource.PARTIAL},
        usage=cost.usage,
        kind=kind,
        message=ending_message(kind, detail=detail, stderr=ending.stderr),
        evidence=is_known or not (began or seen.answers or seen.unanswered),
        unfinished_answers=seen.unfinished,
        unanswered_requests=seen.unanswered,
        assumed_prices=cost.assumed,
    )


def _named_without_result(
    reading: StreamReading, ending: Ending, launch: Launch
) -> tuple[FailureKind, str]:
    if ending.ended_by is not None:
        kind = _ENDED[ending.ended_by]
        return kind, _bound(kind, launch)
    if ending.exit_code is None and ending.signal is None:
        return FailureKind.KILLED, "nobody saw its end"
    if (number := _signal(ending)) is not None:
        return FailureKind.KILLED, signal_name(number)
    if ending.exit_code == 0 or reading.init_seen or not ending.stderr.strip():
        return FailureKind.NO_RESULT, f"exit {ending.exit_code}"
    if launch.resumes and NO_CONVERSATION in ending.stderr:
        return FailureKind.SESSION_NOT_FOUND, launch.session_id
    could_start = could_start_up(ending.stderr)
    kind = FailureKind.CLI_USAGE if could_start else FailureKind.STARTUP_FAILED
    return kind, f"exit {ending.exit_code}"


def _bound(kind: FailureKind, launch: Launch) -> str:
    return f"{launch.timeout_seconds:g} s" if kind is FailureKind.TIMEOUT else ""


def _signal(ending: Ending) -> int | None:
    """The signal that ended the process; the CLI catches some, and exits with 128 + number."""
    if ending.signal is not None:
        return ending.signal
    if ending.exit_code is not None and 129 <= ending.exit_code <= 159:
        return ending.exit_code - 128
    return None


def _asked(usage: Usage) -> int:
    """Input tokens of all kinds: known to the last one as soon as an answer begins."""
    total = usage.total
    return total.input_tokens + total.cache_creation_input_tokens + total.cache_read_input_tokens


def _reported(reading: StreamReading, launch: Launch) -> dict[str, Any]:
    """What every end of a run has in common."""
    result = reading.result or {}
    uuid = result.get("uuid")
    return {
        "session_id": reading.session_id or (launch.session_id if launch.resumes else None),
        "model": reading.model,
        "usage_id": uuid if isinstance(uuid, str) else None,
        "session_total_nano_usd": session_total(reading, launch),
        "num_turns": count(result.get("num_turns")),
        "limits": reading.limits,
        "cli_version": reading.cli_version,
    }
