"""A ledger, a directory or a history in portions, on its way out of one store and into another.

Engines name these statements alike, so that what is moved, and in which order, is said once. Rows
go in the order of a key, a bounded number at a time, and none is read twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pool.alerts.thresholds import AlertState
from pool.executions.session import SessionHome, SessionMove
from pool.keys.api_keys import ApiKey
from pool.limits.windows import RateLimitEvent, Window
from pool.reconciliation.findings import Reconciliation
from pool.storage.database import Bindings, Loading
from pool.storage.directory.alert_rows import listed_alert, loading_outbox
from pool.storage.directory.claims import Registration
from pool.storage.directory.key_rows import kept_charge, key_hour, loading_keys
from pool.storage.directory.portion import DirectoryPortion, KeptClaim
from pool.storage.directory.rows import session_home, session_move
from pool.storage.documents import document, instant, micros, read_document
from pool.storage.ledger.portion import LedgerPortion, SubscriptionRows
from pool.storage.ledger.rows import (
    block_total,
    call_columns,
    execution_columns,
    kept_execution,
    limit_columns,
    model_usage,
    record_columns,
    session_columns,
    session_total,
)
from pool.storage.paging import LARGEST
from pool.storage.reconciler_portion import KeyPoll, ReconcilerPortion, SeenOrganization
from pool.subscriptions.consequences.standing import Standing
from pool.usage.records import UsageRecord

Found = Callable[[str, Bindings], Awaitable[list[Any]]]
"""Runs a statement by its name; the rows."""

AT_ONCE = 200
"""Rows in a portion: one may hold a prompt of a megabyte."""


async def _batches(found: Found, statement: str, first: str | int) -> AsyncIterator[list[Any]]:
    """Rows that begin with their key, which is above ``first``."""
    after, more = first, True
    while more:
        rows = await found(statement, {"after": after, "limit": AT_ONCE})
        if rows:
            yield rows
            after = rows[-1][0]
        more = len(rows) == AT_ONCE


async def exported_ledger(found: Found) -> AsyncIterator[LedgerPortion]:
    """The portions of a ledger: the subscription, and then kind after kind."""
    yield LedgerPortion(
        subscription=_subscription(await found("export_seat", {}), await found("windows", {}))
    )
    async for rows in _batches(found, "export_executions", ""):
        yield LedgerPortion(executions=tuple(kept_execution(row[1:]) for row in rows))
    async for rows in _batches(found, "export_records", ""):
        yield LedgerPortion(records=tuple(read_document(UsageRecord, row[1]) for row in rows))
    async for rows in _batches(found, "export_blocks", -LARGEST):
        yield await _blocks(found, rows)
    async for rows in _batches(found, "export_limit_events", -1):
        yield LedgerPortion(limits=tuple(read_document(RateLimitEvent, row[1]) for row in rows))
    async for rows in _batches(found, "export_sessions", ""):
        yield LedgerPortion(sessions=tuple(session_total(*row) for row in rows))


def _subscription(subscriptions: Sequence[Any], windows: Sequence[Any]) -> SubscriptionRows:
    standing, executions_ended, requested_at, session_id, session_at = subscriptions[0]
    return SubscriptionRows(
        standing=Standing() if standing is None else read_document(Standing, standing),
        executions_ended=executions_ended,
        last_request_at=None if requested_at is None else instant(requested_at),
        last_session_id=session_id,
        last_session_at=None if session_at is None else instant(session_at),
        windows={name: read_document(Window, text) for name, text in sorted(map(tuple, windows))},
    )


async def _blocks(found: Found, rows: list[Any]) -> LedgerPortion:
    span = {"first": rows[0][0], "last": rows[-1][0]}
    models: dict[int, dict[str, Any]] = {start: {} for start, _ in rows}
    for starts_at, model, *figures in await found("block_models", span):
        models[starts_at][model] = model_usage(figures)
    blocks = tuple(block_total(start, records, models[start]) for start, records in rows)
    return LedgerPortion(blocks=blocks)


def loading_ledger(portion: LedgerPortion) -> Loading:
    """What keeps a portion of a ledger."""
    subscription = portion.subscription
    windows = [
        {"name": name, "document": document(subscription.windows[name])}
        for name in subscription.windows
    ]
    blocks = [(micros(block.starts_at), block) for block in portion.blocks]
    return [
        (
            "load_seat",
            [] if subscription == SubscriptionRows() else [_subscription_columns(subscription)],
        ),
        ("set_window", windows),
        ("load_execution", [execution_columns(row) for row in portion.executions]),
        (
            "note_tool_call",
            [columns for row in portion.executions for columns in call_columns(row, row.rounds)],
        ),
        ("load_record", [record_columns(record) for record in portion.records]),
        ("load_block", [{"starts_at": at, "records": block.records} for at, block in blocks]),
        (
            "load_block_model",
            [
                {"starts_at": at, "model": model, **usage.model_dump()}
                for at, block in blocks
                for model, usage in block.usage.models.items()
            ],
        ),
        ("add_limit_event", [limit_columns(event) for event in portion.limits]),
        ("load_session", [session_columns(session) for session in portion.sessions]),
    ]


def _subscription_columns(subscription: SubscriptionRows) -> Bindings:
    requested_at, session_at = subscription.last_request_at, subscription.last_session_at
    return {
        "standing": document(subscription.standing),
        "executions_ended": subscription.executions_ended,
        "last_request_at": None if requested_at is None else micros(requested_at),
        "last_session_id": subscription.last_session_id,
        "last_session_at": None if session_at is None else micros(session_at),
    }


async def exported_directory(found: Found) -> AsyncIterator[DirectoryPortion]:
    """The portions of a directory; the registry first."""
    registry = await found("registrations", {})
    yield DirectoryPortion(
        registrations=tuple(read_document(Registration, row[0]) for row in registry)
    )
    async for rows in _batches(found, "export_claims", ""):
        yield DirectoryPortion(claims=tuple(_claim(row) for row in rows))
    async for rows in _batches(found, "export_session_homes", ""):
        yield DirectoryPortion(homes=tuple(session_home(row) for row in rows))
    async for rows in _batches(found, "export_session_moves", -1):
        yield DirectoryPortion(moves=tuple(session_move(row[1:]) for row in rows))
    async for rows in _batches(found, "export_levels", ""):
        yield DirectoryPortion(levels=tuple(read_document(AlertState, row[1]) for row in rows))
    async for rows in _batches(found, "export_alerts", ""):
        yield DirectoryPortion(alerts=tuple(listed_alert(row) for row in rows))
    async for rows in _batches(found, "export_keys", ""):
        yield DirectoryPortion(keys=tuple(read_document(ApiKey, row[1]) for row in rows))
    async for rows in _batches(found, "export_key_charges", ""):
        yield DirectoryPortion(charges=tuple(kept_charge(row) for row in rows))
    async for rows in _batches(found, "export_key_hours", ""):
        yield DirectoryPortion(key_hours=tuple(key_hour(row[1:]) for row in rows))


def _claim(row: Sequence[Any]) -> KeptClaim:
    execution_id, key, digest, created_at, used_at, subscription_id, placement, epoch = row
    return KeptClaim(
        execution_id=execution_id,
        key=key,
        digest=digest,
        created_at=instant(created_at),
        used_at=instant(used_at),
        subscription_id=subscription_id,
        placement=placement,
        epoch=epoch,
    )


def registration_columns(registration: Registration) -> Bindings:
    return {
        "id": registration.spec.id,
        "created_at": micros(registration.created_at),
        "document": document(registration),
    }


def _with_micros(value: KeptClaim | SessionHome | SessionMove) -> Bindings:
    """Its fields are its columns; times are microseconds."""
    fields = value.model_dump()
    return {
        name: micros(given) if name.endswith("_at") else given for name, given in fields.items()
    }


def loading_directory(portion: DirectoryPortion) -> Loading:
    """What keeps a portion of a directory."""
    return [
        ("load_registration", [registration_columns(each) for each in portion.registrations]),
        ("load_claim", [_with_micros(claim) for claim in portion.claims]),
        ("load_session_home", [_with_micros(home) for home in portion.homes]),
        ("load_session_move", [_with_micros(move) for move in portion.moves]),
        *loading_outbox(portion.levels, portion.alerts),
        *loading_keys(portion.keys, portion.charges, portion.key_hours),
    ]


async def exported_reconciler(found: Found) -> AsyncIterator[ReconcilerPortion]:
    """The portions of a reconciler's history."""
    async for rows in _batches(found, "export_organizations", ""):
        seen = tuple(SeenOrganization(id=id_, begun_at=instant(at)) for id_, at in rows)
        yield ReconcilerPortion(organizations=seen)
    async for rows in _batches(found, "export_polls", ""):
        polls = tuple(KeyPoll(key_name=name, polled_at=instant(at)) for name, at in rows)
        yield ReconcilerPortion(polls=polls)
    async for rows in _batches(found, "export_reconciliations", ""):
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
