"""Keys and accounts as rows. See ``key_store``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pool.errors import Conflict
from pool.keys.account import Account, Charge, HourSpent, Settled, hour_of, oldest_hour
from pool.keys.api_keys import MAX_KEYS, ApiKey
from pool.storage.database import Bindings
from pool.storage.directory.portion import KeptCharge, KeyHour
from pool.storage.documents import document, instant, micros

EXPIRING = ("expire_charges", "expire_hours", "expire_paces", "expire_keys")


def key_columns(key: ApiKey) -> Bindings:
    return {
        "id": key.id,
        "name": key.name,
        "created_at": micros(key.created_at),
        "revoked_at": None if key.revoked_at is None else micros(key.revoked_at),
        "document": document(key),
    }


def name_taken(name: str) -> Conflict:
    return Conflict(f"a key named {name!r} exists or was revoked lately: choose another name")


def check_room(kept: int) -> None:
    """Raise ``Conflict`` where as many keys are kept as may be."""
    if kept >= MAX_KEYS:
        raise Conflict(f"{kept} keys are kept, which is all there is room for: revoke some")


def charge_columns(charge: Charge) -> Bindings:
    return {
        "execution_id": charge.execution_id,
        "key_id": charge.key_id,
        "amount_nano_usd": charge.amount_nano_usd,
        "reserved_at": micros(charge.at),
    }


def settled_columns(charge: Charge, settled: Settled) -> Bindings:
    until = settled.held_until
    return {
        **charge_columns(charge),
        "cost_nano_usd": settled.cost_nano_usd,
        "settled_at": micros(settled.at),
        "held_until": None if until is None else micros(until),
        "hour": micros(hour_of(settled.at)),
    }


def charge(row: Sequence[Any]) -> Charge:
    execution_id, key_id, amount, reserved_at = row
    return Charge(
        execution_id=execution_id,
        key_id=key_id,
        amount_nano_usd=amount,
        at=instant(reserved_at),
    )


def wanted(key_id: str, now: datetime) -> Bindings:
    """What the statements that make up an account ask for."""
    return {"key_id": key_id, "now": micros(now), "since": micros(oldest_hour(now))}


def account(
    pace: Sequence[Any] | None,
    reserved: Sequence[Any],
    held: Sequence[Any],
    hours: Iterable[Sequence[Any]],
) -> Account:
    """An account of the first rows of the statements of these names."""
    running, amount = reserved
    return Account(
        next_at=None if pace is None or pace[0] is None else instant(pace[0]),
        running=running,
        reserved_nano_usd=int(amount) + int(held[0]),
        hours=tuple(
            HourSpent(starts_at=instant(starts_at), cost_nano_usd=int(cost))
            for starts_at, cost in hours
        ),
    )


# -- on their way to another store ---------------------------------------------------------------


def kept_charge(row: Sequence[Any]) -> KeptCharge:
    cost, settled_at, held_until = row[4:]
    settled = None
    if settled_at is not None:
        until = None if held_until is None else instant(held_until)
        settled = Settled(cost_nano_usd=cost, at=instant(settled_at), held_until=until)
    return KeptCharge(charge=charge(row[:4]), settled=settled)


def key_hour(row: Sequence[Any]) -> KeyHour:
    key_id, starts_at, cost = row
    spent = HourSpent(starts_at=instant(starts_at), cost_nano_usd=cost)
    return KeyHour(key_id=key_id, spent=spent)


_OPEN = {"cost_nano_usd": None, "settled_at": None, "held_until": None}


def _kept_columns(kept: KeptCharge) -> Bindings:
    if kept.settled is None:
        return charge_columns(kept.charge) | _OPEN
    return settled_columns(kept.charge, kept.settled)


def _hour_columns(hour: KeyHour) -> Bindings:
    return {
        "key_id": hour.key_id,
        "starts_at": micros(hour.spent.starts_at),
        "cost_nano_usd": hour.spent.cost_nano_usd,
    }


def loading_keys(
    keys: Iterable[ApiKey], charges: Iterable[KeptCharge], hours: Iterable[KeyHour]
) -> list[Any]:
    """Statements by their names, each with the bindings that it is run with. The pace of a key is
    not taken along: its bucket begins full.
    """
    return [
        ("load_key", [key_columns(key) for key in keys]),
        ("load_key_charge", [_kept_columns(kept) for kept in charges]),
        ("load_key_hour", [_hour_columns(hour) for hour in hours]),
    ]
