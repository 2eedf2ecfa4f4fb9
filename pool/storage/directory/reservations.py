"""Reservations of keys' budgets: what is held of an account, in the transaction that claims an
execution (``Directory.claim``), or that tops it up.

Whoever judges or settles for a key first locks its account, so that sums are read and reservations
written as if there were one router. What there is room for is decided by ``pool.keys.quotas``.
"""

from __future__ import annotations

from datetime import datetime

from pool.keys.account import Account, Reservation
from pool.keys.quotas import charged, paced, topped_up
from pool.storage.database import Db
from pool.storage.directory import key_rows
from pool.storage.documents import micros


async def reserve(db: Db, wanted: Reservation) -> None:
    """Hold an amount for an execution, once. Raises a ``KeyLimited`` where there is no room."""
    at, key_id = wanted.charge.at, wanted.charge.key_id
    await locked(db, key_id)
    if await db.first("is_charged", key_rows.charge_columns(wanted.charge)) is not None:
        return
    account = await account_of(db, key_id, at)
    await db.run("reserve", key_rows.charge_columns(charged(wanted, account)))
    next_at = paced(wanted.key, account, at)
    if next_at is not None:
        await db.run("set_pace", {"key_id": key_id, "next_at": micros(next_at)})


async def top_up(db: Db, wanted: Reservation) -> None:
    await locked(db, wanted.charge.key_id)
    row = await db.first("open_charge", key_rows.charge_columns(wanted.charge))
    if row is not None:
        account = await account_of(db, wanted.charge.key_id, wanted.charge.at)
        charge = topped_up(wanted, account, row[0])
        if charge is not None:
            await db.run("top_up", key_rows.charge_columns(charge))


async def locked(db: Db, key_id: str) -> None:
    """Let nobody else judge or settle for a key until the transaction ends. The row may be
    forgotten between the two statements, by retention; not twice.
    """
    row = None
    while row is None:
        await db.run("account", {"key_id": key_id})
        row = await db.first("lock", {"key_id": key_id})


async def account_of(db: Db, key_id: str, now: datetime) -> Account:
    wanted = key_rows.wanted(key_id, now)
    return key_rows.account(
        await db.first("pace", wanted),
        await db.first("reserved", wanted),
        await db.first("held", wanted),
        await db.rows("hours", wanted),
    )
