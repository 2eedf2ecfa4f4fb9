"""The arguments that routes share."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Header, Path, Query, Request

from actors.client.client import PoolClient
from api.web.authentication import Caller

MAX_LIMIT = 200


_LOOKS = frozenset({"GET", "HEAD"})


def _client(request: Request) -> PoolClient:
    client = cast("PoolClient", request.app.state.client)
    caller = cast("Caller | None", getattr(request.state, "caller", None))
    if caller is None:  # a probe, which asks for nothing of anybody's
        return client
    return client.with_access(caller.sees if request.method in _LOOKS else caller.reaches)


Client = Annotated[PoolClient, Depends(_client)]
"""The pool as its caller may see it or, where the request changes something, reach into it."""
PathId = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$", description="An id of an earlier answer."),
]
"""An id in an address: it names no file, holds nothing that a log or a store could trip over."""
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
MaybeLimit = Annotated[
    int | None, Query(ge=1, le=MAX_LIMIT, description="How many items at most; all without it.")
]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="1 to 200 visible ASCII characters. The same key with the same body is the "
        "same execution, however often it is sent.",
    ),
]
