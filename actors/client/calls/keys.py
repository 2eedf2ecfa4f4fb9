"""Keys of callers, as a client makes and revokes them."""

from __future__ import annotations

from pydantic import SecretStr

from actors.aiokit import forwarded
from actors.client.calls.view import PoolView, router
from actors.interfaces.router_actor import RouterActor
from pool.keys.api_keys import (
    DEFAULT_GRACE_SECONDS,
    IssuedKey,
    KeySpec,
    fingerprint,
    new_key_id,
    new_secret,
)


class KeyCalls(PoolView):
    """What a client does with keys."""

    is_open = forwarded(router, RouterActor.is_open)
    authenticate = forwarded(router, RouterActor.authenticate)
    keys = forwarded(router, RouterActor.keys)
    revoke_key = forwarded(router, RouterActor.revoke_key)

    async def create_key(self, spec: KeySpec) -> IssuedKey:
        """Make a key. Its secret is made here and goes nowhere else: the pool gets its digest.

        ``Conflict`` where the name is taken, ``InvalidRequest`` for one that has expired already.
        """
        secret = new_secret(new_key_id())
        key = await self._router().create_key(spec, fingerprint(secret))
        return IssuedKey(secret=SecretStr(secret), key=key)

    async def rotate_key(
        self, key_id: str, *, grace_seconds: float = DEFAULT_GRACE_SECONDS
    ) -> IssuedKey:
        """Give a key a new secret; the old one is valid for ``grace_seconds`` more."""
        secret = new_secret(key_id)
        digest = fingerprint(secret).digest
        key = await self._router().rotate_key(key_id, digest, grace_seconds)
        return IssuedKey(secret=SecretStr(secret), key=key)
