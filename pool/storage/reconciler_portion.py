"""Portions: parts of the reconciler's history, on their way out of one store and into another."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pool.reconciliation.findings import Reconciliation
from pool.storage.batches import Found, batches
from pool.storage.database import Bindings, Loading
from pool.storage.documents import document, instant, micros, read_document
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


async def exported_reconciler(found: Found) -> AsyncIterator[ReconcilerPortion]:
    """The portions of a reconciler's history."""
    async for rows in batches(found, "export_organizations", ""):
        seen = tuple(SeenOrganization(id=id_, begun_at=instant(at)) for id_, at in rows)
        yield ReconcilerPortion(organizations=seen)
    async for rows in batches(found, "export_polls", ""):
        polls = tuple(KeyPoll(key_name=name, polled_at=instant(at)) for name, at in rows)
        yield ReconcilerPortion(polls=polls)
    async for rows in batches(found, "export_reconciliations", ""):
        kept = tuple(read_document(Reconciliation, row[1]) for row in rows)
        yield ReconcilerPortion(reconciliations=kept)


def loading_reconciler(portion: ReconcilerPortion) -> Loading:
    """What keeps a portion of a reconciler's history."""
    return [
        (
            "begin_organization",
            [{"id": each.id, "now": micros(each.begun_at)} for each in portion.organizations],
        ),
        (
            "note_poll",
            [{"key_name": each.key_name, "at": micros(each.polled_at)} for each in portion.polls],
        ),
        ("keep_reconciliation", [reconciliation_columns(row) for row in portion.reconciliations]),
    ]


def reconciliation_columns(row: Reconciliation) -> Bindings:
    at = row.next_attempt_at
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "kind": row.kind.value,
        "starts_at": micros(row.starts_at),
        "next_attempt_at": None if at is None else micros(at),
        "document": document(row),
    }
