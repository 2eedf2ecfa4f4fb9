"""The outcome of a run of the CLI, as a value: ``Completed`` or ``Failed``.

Every row of the CLI's error table has a name here. The name, never the CLI's text, decides what
happens next: whether the subscription is parked, whether another subscription may try, what the
caller gets.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import NonNegativeInt

from pool.executions.content.turn import ThinkingPart
from pool.limits.windows import RateLimitEvent
from pool.usage.records import Usage, UsageSource
from pool.values import Instant, Value


class FailureKind(StrEnum):
    """The named ways in which a run can fail. They are the ``error.type`` of an execution."""

    USAGE_LIMIT = "usage_limit"
    """The subscription's limit was hit (``usage_limit_reached``): park the subscription."""
    RATE_LIMITED = "rate_limited"
    """A burst 429 without a window: slow down, the subscription is not exhausted."""
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    CONNECTION = "connection"
    AUTHENTICATION = "authentication"
    ACCESS_DENIED = "access_denied"
    """The login is valid, and the account may not do this: signing in again does not help."""
    ACCOUNT_DISABLED = "account_disabled"
    """Anthropic has disabled the organization or the account."""
    CREDIT_EXHAUSTED = "credit_exhausted"
    SPEND_LIMIT = "spend_limit"
    """A limit of money that somebody set for the account, workspace or month is reached."""
    NOT_ENTITLED = "not_entitled"
    """The account may use the model, but not this variant of it, such as the long context."""
    MODEL_NOT_FOUND = "model_not_found"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_FULL = "context_full"
    """Prompt and history do not fit the model's context: the caller has to shorten them."""
    REFUSAL = "refusal"
    """The model declined to answer; the run was billed."""
    ANSWER_TOO_LONG = "answer_too_long"
    """The answer would have been longer than the model may write; what was written is billed."""
    EMPTY_ANSWER = "empty_answer"
    """Tokens were billed, and no text, tool call or structure came of them."""
    SCHEMA_MISMATCH = "schema_mismatch"
    """The model gave nothing that fits the JSON schema of the request; the run was billed."""
    MAX_TURNS = "max_turns"
    MAX_BUDGET = "max_budget"
    SESSION_NOT_FOUND = "session_not_found"
    TIMEOUT = "timeout"
    OUTPUT_LIMIT = "output_limit"
    INTERRUPTED = "interrupted"
    """The CLI was asked to stop and said so with a result."""
    KILLED = "killed"
    """The CLI died by a signal without a result."""
    NO_TOOL_RESULTS = "no_tool_results"
    """The caller gave no results of its tools in time; late ones are gone on from."""
    CANCELLED = "cancelled"
    """The caller cancelled it."""
    NOT_STARTED = "not_started"
    """No process was started, or it never got as far as running the CLI: nothing was spent."""
    QUEUE_TIMEOUT = "queue_timeout"
    """It waited for a slot as long as it may; nothing was started."""
    SESSION_NOT_MOVED = "session_not_moved"
    """Its session could not be brought from the subscription that held it; nothing was started."""
    STARTUP_FAILED = "startup_failed"
    """The CLI ran and could not start up, such as for a config directory that it cannot read."""
    CLI_USAGE = "cli_usage"
    """The CLI refused its command line or input, on stderr only."""
    NO_RESULT = "no_result"
    """The CLI ended without a result: empty output, or nothing that can be read."""
    EXECUTION_ERROR = "execution_error"
    """The CLI reported an error that has no other name here."""


class Ended(Value):
    """What every end of a run has in common, good or bad."""

    session_id: str | None = None
    model: str | None = None
    usage: Usage = Usage()
    """Usage of this run alone; never the session's running total."""
    usage_source: UsageSource = UsageSource.CLI
    usage_id: str | None = None
    """Unique for the run: the ``uuid`` of its result message."""
    session_total_nano_usd: NonNegativeInt | None = None
    """The session's running total where the CLI reports one: the base of the next difference."""
    num_turns: NonNegativeInt = 0
    limits: tuple[RateLimitEvent, ...] = ()
    cli_version: str | None = None

    @property
    def context_tokens(self) -> int:
        """About how many tokens the next turn of its session reads as history, rather too many: an
        even growth over several calls ends below twice their average.
        """
        total, calls = self.usage.total, max(1, self.num_turns)
        written, read = total.cache_creation_input_tokens, total.cache_read_input_tokens
        asked = total.input_tokens + written + read
        return min(asked, -(-2 * asked // calls)) + total.output_tokens

    @property
    def is_partial(self) -> bool:
        """Whether it may have cost more than its usage says, which is then a lower bound."""
        return False


class Completed(Ended):
    """The run answered."""

    outcome: Literal["completed"] = "completed"
    result: str = ""
    stop_reason: str | None = None
    """Why the model ended, in the API's words: ``end_turn``, or ``max_tokens`` where the answer was
    cut off at its longest. None where the CLI did not say."""
    stop_sequence: str | None = None
    """The one that it ended before."""
    thinking: tuple[ThinkingPart, ...] = ()
    """What the model showed of its thinking, where that was asked for."""
    structured_output: Any = None

    def without_content(self) -> Completed:
        """The outcome without the answer."""
        nothing = {"result": "", "structured_output": None, "thinking": (), "stop_sequence": None}
        return self.model_copy(update=nothing)


class Failed(Ended):
    """The run did not answer. ``message`` is safe to show: it holds no prompt and no credential."""

    outcome: Literal["failed"] = "failed"
    kind: FailureKind
    message: str
    evidence: bool = True
    """Whether it is known what was spent: all of it, or, where ``usage_source`` is ``partial``, the
    cost so far of the answers that were seen. False: the run may have been billed, and there is
    nothing to price, or no price for it."""
    is_ambiguous: bool = False
    """Whether a refused request may be the account's fault as well as the caller's: nothing in the
    refusal says that it is about the request."""
    retry_at: Instant | None = None
    """When the account may be used again, where the refusal says so."""
    unfinished_answers: NonNegativeInt = 0
    """Answers in ``usage`` that were cut off: their output was billed for more than is counted."""
    unanswered_requests: NonNegativeInt = 0
    """Requests besides them of which no answer was seen: each may have been billed."""
    assumed_prices: tuple[str, ...] = ()
    """Proportions of prices that the cost rests on without having been learned, in words."""

    @property
    def spent_nothing(self) -> bool:
        return self.evidence and not any(self.usage.total.model_dump().values())

    @property
    def is_partial(self) -> bool:
        """Whether what it cost is not known, or known of the answers alone that were seen."""
        of_some = self.usage_source is UsageSource.PARTIAL and not self.spent_nothing
        return of_some or not self.evidence

    @property
    def is_unsure(self) -> bool:
        """Whether the request may be to blame as well as the subscription, at no cost so far: that
        shows when the same request is tried elsewhere.
        """
        return self.spent_nothing and (self.is_ambiguous or self.kind in UNSURE)


UNSURE = frozenset(
    {
        FailureKind.EXECUTION_ERROR,
        FailureKind.CLI_USAGE,
        FailureKind.NO_RESULT,
        FailureKind.KILLED,
    }
)
"""Failures that a request, a broken installation or an account can bring about alike."""

Outcome = Completed | Failed
