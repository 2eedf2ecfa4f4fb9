"""Access: whose things a caller sees, and where its key lets it look.

An execution and a session belong to a tenant: to the key that asked for them, or to the team that
several keys are of. Whoever asks brings an access along, down to the statement that reads the rows;
what is not covered is as if it were not there.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pool.executions.row import ExecutionRow
from pool.usage.model_names import FAMILIES, is_meant, plain_name
from pool.values import Value

ALL = ("*",)
"""Patterns that cover everything."""


class Access(Value):
    """What a caller has access to; everything, where nothing is said."""

    tenant: str | None = None
    """Whose things it sees; None for everybody's, and for what belongs to nobody."""
    sees_pool: bool = True
    """Whether it sees what becomes of the pool itself: of its subscriptions and their limits."""
    subscriptions: tuple[str, ...] = ALL
    """Patterns."""
    models: tuple[str, ...] = ALL
    """Patterns."""

    def owns(self, tenant: str | None) -> bool:
        """Whether it sees what belongs to a tenant; to nobody: None."""
        return self.tenant is None or self.tenant == tenant

    def covers_subscription(self, subscription_id: str) -> bool:
        return any(fnmatchcase(subscription_id, pattern) for pattern in self.subscriptions)

    def covers_model(self, *names: str | None) -> bool:
        """Whether it covers a model by one of its names: the one that was asked for, or the one
        that answered.
        """
        names_of = (plain_name(name) for name in names if name is not None)
        return any(fnmatchcase(name, each) for name in names_of for each in self.read_models)

    def covers(self, row: ExecutionRow) -> bool:
        """Whether it sees an execution of a subscription that it covers."""
        ran_as = row.outcome.model if row.outcome is not None else None
        return self.owns(row.intent.belongs_to) and self.covers_model(row.intent.model, ran_as)

    @property
    def read_models(self) -> tuple[str, ...]:
        """Patterns of the names under which runs of its models are kept. What was asked for by an
        alias is kept under that, and under what answered.
        """
        covered = (family for family in sorted(FAMILIES) if is_meant(family, self.models))
        families = (f"claude-{each}-*" for each in self.models if each in FAMILIES)
        every = ALL if "default" in self.models else ()
        return tuple(dict.fromkeys((*self.models, *covered, *families, *every)))


FULL_ACCESS = Access()
"""Of an operator, and of programs that hold the token of Ray."""
