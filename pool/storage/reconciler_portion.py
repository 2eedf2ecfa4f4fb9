"""A portion of the reconciler's history, on its way from one store to another."""

from __future__ import annotations

from pool.reconciliation.findings import Reconciliation
from pool.values import Instant, Value


class SeenOrganization(Value):
    """An organization, and when it was seen first."""

    id: str
    begun_at: Instant


class KeyPoll(Value):
    """A key by its variable, and when it was used last."""

    key_name: str
    polled_at: Instant


class ReconcilerPortion(Value):
    """Part of what a reconciler knows."""

    organizations: tuple[SeenOrganization, ...] = ()
    polls: tuple[KeyPoll, ...] = ()
    reconciliations: tuple[Reconciliation, ...] = ()
