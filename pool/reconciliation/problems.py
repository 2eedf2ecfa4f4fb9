"""Problems of a report of Anthropic, as lists of reconciliations show them."""

from __future__ import annotations

from enum import StrEnum

from pool.values import Value


class ProblemKind(StrEnum):
    KEY_MISSING = "key_missing"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """Another status than those that are known."""
    TRUNCATED = "truncated"
    """A page that ends before its end, or names no next one although there is more."""
    REPEATED_PAGE = "repeated_page"
    MALFORMED = "malformed"
    """What should be counted is not there, or is no number."""
    INCOMPLETE = "incomplete"
    """A bucket that was asked for is missing, or came twice."""
    TOO_LARGE = "too_large"
    CLOCK_SKEW = "clock_skew"
    LOCAL = "local"
    """The pool's own records could not be read."""


class ReportProblem(Value):
    """What stood in the way, and what to do about it."""

    kind: ProblemKind
    detail: str
