"""A caller, and a request as its key lets it run."""

from __future__ import annotations

from pool.executions.request import ExecutionRequest
from pool.executions.tools.permissions import Grant
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.account import Reservation
from pool.keys.api_keys import KeySpec
from pool.values import Value


class Caller(Value):
    """Who asks: the key that stands behind a request, if there is one."""

    key_id: str = ""
    key: KeySpec | None = None

    @property
    def tenant(self) -> str | None:
        """Whom a request belongs to; None where no key stands behind it."""
        return None if self.key is None else self.key.belongs_to

    @property
    def access(self) -> Access:
        """Which sessions a request may go on with."""
        return FULL_ACCESS if self.key is None else self.key.holder.reaches


NOBODY = Caller()
"""A program of the cluster, or anybody at a pool without keys."""


class Permit(Value):
    """A request as its key lets it run."""

    request: ExecutionRequest
    grant: Grant | None = None
    """None where no key stands behind the request."""
    key: KeySpec | None = None
    reservation: Reservation | None = None
    """What is to be held for it, with its claim."""
