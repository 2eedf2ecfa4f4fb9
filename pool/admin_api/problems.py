"""Reports that cannot be used, as an error.

A ``ReportProblem`` is a value: the reconciler keeps it with the hour or day that it stood in the
way of, and tries again later. Within the client it travels as ``Unusable``. Neither quotes what
Anthropic sent.
"""

from __future__ import annotations

from pool.reconciliation.problems import ProblemKind, ReportProblem


class Unusable(Exception):
    """A report that cannot be used."""

    def __init__(self, kind: ProblemKind, detail: str) -> None:
        super().__init__(kind, detail)
        self.problem = ReportProblem(kind=kind, detail=detail)
