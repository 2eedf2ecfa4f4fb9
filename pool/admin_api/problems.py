"""Why a report could not be had, as it is shown in the list of reconciliations.

A ``ReportProblem`` is a value: the reconciler keeps it beside the hour or day that it stood in the
way of, and tries again later. Within the client it travels as ``Unusable``. Neither quotes what
Anthropic sent.
"""

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


class Unusable(Exception):
    """A report that cannot be used."""

    def __init__(self, kind: ProblemKind, detail: str) -> None:
        super().__init__(kind, detail)
        self.problem = ReportProblem(kind=kind, detail=detail)
