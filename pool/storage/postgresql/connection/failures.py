"""Failures between here and the database, and what each of them means.

A **loss** is nobody's fault and passes: the server is away, the connection broke, two transactions
stood in each other's way. It is worth another try. A **refusal** of the whole transaction (no room,
a lock that does not come free, a server that takes no writes) goes to all who wait. Anything
else belongs to the call that met it. Messages never carry the server's details: those quote rows.
"""

from __future__ import annotations

from pathlib import Path

import asyncpg

from pool.errors import NotSupported, StoreAway, StoreError

_PERMANENT = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""What a server says at the door, and will say again."""

_PASSING = (
    OSError,  # a timeout is one, too
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InternalClientError,
)

_WHOLE = (
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresIOError,
    asyncpg.InternalServerError,
    asyncpg.UndefinedTableError,
    asyncpg.InFailedSQLTransactionError,
)
"""Errors of the server, not of the call that met them."""


class Lost(Exception):
    """Nothing was kept, for a reason that passes."""


def is_passing(error: BaseException) -> bool:
    """Whether it is worth another try, on another connection."""
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, asyncpg.DataError | asyncpg.ClientConfigurationError)
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return True
    return isinstance(error, _PASSING) and not isinstance(error, _PERMANENT)


def is_of_all(error: BaseException) -> bool:
    """Whether it ends the transaction, and not only the call that met it."""
    return is_passing(error) or isinstance(error, _WHOLE)


def reason(error: BaseException) -> str:
    """What happened, in the words of the server or the system, without details."""
    if isinstance(error, TimeoutError) and not str(error):
        return "it did not answer in time"
    said = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else error
    return f"{type(error).__name__}: {said}"


def store_error(store: str, error: BaseException) -> StoreError:
    """What the database said, as what happened and what to do next."""
    match error:
        case StoreError():
            return error
        case OverflowError() | asyncpg.DataError() | asyncpg.NumericValueOutOfRangeError():
            problem = (
                "a number needs more than 64 bits, or a text cannot be kept: "
                "nothing of this was kept; correct it"
            )
        case asyncpg.InsufficientResourcesError():
            problem = f"has no room ({reason(error)}): nothing of this was kept; make some"
        case asyncpg.LockNotAvailableError():
            problem = "somebody else holds what this needs: nothing of this was kept; try again"
        case asyncpg.QueryCanceledError():
            problem = "took too long and was given up: nothing of this was kept; try again"
        case asyncpg.ReadOnlySQLTransactionError():
            problem = "takes no writes: name the primary server, not a standby"
        case asyncpg.InsufficientPrivilegeError():
            problem = f"this user may not do this ({reason(error)}): grant it, or name the owner"
        case _ if isinstance(error, _PERMANENT):
            problem = f"does not let this user in ({reason(error)}): check the URL in pool.store"
        case _:
            problem = f"refused this: {reason(error)}"
    return StoreError(store, problem)


def away(store: str, error: BaseException) -> StoreAway:
    """A database that could not be reached for as long as it was tried."""
    problem = f"the database is away ({error}): nothing of this was kept; try again"
    return StoreAway(store, problem)


def no_backup(file: Path) -> NotSupported:
    """The answer to whoever wants a copy of a store in a file."""
    return NotSupported(f"{file.name} is not written for a pool in PostgreSQL: use pg_dump")
