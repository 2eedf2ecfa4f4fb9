"""A directory in portions, on its way out of one store and into another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pool.alerts.thresholds import AlertState
from pool.executions.session import SessionMove
from pool.keys.api_keys import ApiKey
from pool.storage.batches import Found, batches
from pool.storage.database import Bindings, Loading
from pool.storage.directory.alert_rows import listed_alert, loading_outbox
from pool.storage.directory.claims import Registration
from pool.storage.directory.key_rows import kept_charge, key_hour, loading_keys
from pool.storage.directory.portion import DirectoryPortion, KeptClaim, KeptHome
from pool.storage.directory.rows import registration_columns, session_home, session_move
from pool.storage.documents import instant, micros, read_document


async def exported_directory(found: Found) -> AsyncIterator[DirectoryPortion]:
    """The portions of a directory; the registry first."""
    registry = await found("registrations", {})
    yield DirectoryPortion(
        registrations=tuple(read_document(Registration, row[0]) for row in registry)
    )
    async for rows in batches(found, "export_claims", ""):
        yield DirectoryPortion(claims=tuple(_claim(row) for row in rows))
    async for rows in batches(found, "export_session_homes", ""):
        yield DirectoryPortion(homes=tuple(_home(row) for row in rows))
    async for rows in batches(found, "export_session_moves", -1):
        yield DirectoryPortion(moves=tuple(session_move(row[1:]) for row in rows))
    async for rows in batches(found, "export_levels", ""):
        yield DirectoryPortion(levels=tuple(read_document(AlertState, row[1]) for row in rows))
    async for rows in batches(found, "export_alerts", ""):
        yield DirectoryPortion(alerts=tuple(listed_alert(row) for row in rows))
    async for rows in batches(found, "export_keys", ""):
        yield DirectoryPortion(keys=tuple(read_document(ApiKey, row[1]) for row in rows))
    async for rows in batches(found, "export_key_charges", ""):
        yield DirectoryPortion(charges=tuple(kept_charge(row) for row in rows))
    async for rows in batches(found, "export_key_hours", ""):
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


def _home(row: Sequence[Any]) -> KeptHome:
    *home, conversation, last_execution_id = row
    known = {"conversation": conversation, "last_execution_id": last_execution_id}
    return KeptHome.model_validate(session_home(home).model_dump() | known)


def _with_micros(value: KeptClaim | KeptHome | SessionMove) -> Bindings:
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
