"""The registry of keys: who may call, and what each caller's key lets a request do.

It lives in the router. Before a request is placed, its key is asked. Of a key that limits something
a request holds what it may cost until it has ended (``open_reservations``); one that limits nothing
costs no write. A caller that is no key's name (a program inside the cluster, or anybody at a pool
without keys) is not limited here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from actors.interfaces.messages import Dispatch
from actors.interfaces.protocols import SubscriptionActors
from actors.router.keys.callers import NOBODY, Caller, Permit
from actors.router.keys.open_reservations import OpenReservations
from pool.errors import Conflict, InvalidRequest, KeyEnded, NotPermitted
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.keys.account import Charge, Reservation, standing
from pool.keys.api_keys import (
    ApiKey,
    KeyHolder,
    KeySpec,
    KeyStanding,
    Presented,
    ShownKey,
    declared_id,
    declared_key,
    ended,
    made,
    revoked,
    rotated,
    shown_key,
    verify,
)
from pool.keys.forbidden import forbidden
from pool.keys.request_price import limited_price, reserved_amount
from pool.storage.directory.directory import Directory
from pool.telemetry.events import PoolEvent
from pool.usage.expected_cost import Floor

Place = Callable[[Permit], Awaitable[Execution]]
"""Brings a request to a subscription."""
Least = Callable[[], Awaitable[Floor]]
"""Tells the least that has to be held for a request."""


class KeyRegistry:
    """The keys of ``pool.toml`` and those that were made since."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        declared: Iterable[KeySpec],
        default_model: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = directory.keys
        self._declared = {spec.name: spec for spec in declared}
        self._default_model = default_model
        self._clock = clock
        self._revoking = asyncio.Lock()
        self._reservations = OpenReservations(directory, actors, clock)

    async def recover(self) -> None:
        """Take up the reservations that earlier activations left open."""
        await self._reservations.recover()

    async def close(self) -> None:
        await self._reservations.close()

    async def expire(self, before: datetime) -> None:
        """Forget what was settled, and which keys were revoked, before."""
        await self._store.expire(before)

    # -- callers ---------------------------------------------------------------------------------

    async def is_open(self) -> bool:
        """Whether no key was ever made: then whoever reaches the pool may use it."""
        return not self._declared and not await self._store.keys()

    async def authenticate(self, shown: Presented) -> KeyHolder | None:
        """Whose key it is; None for one that opens nothing."""
        key = await self._store.key(shown.id)
        if key is None or not verify(key, shown.digest, self._clock()):
            return None
        if key.name in self._declared:  # what stands in pool.toml wins, limits and all
            return None
        return key.holder

    # -- administration --------------------------------------------------------------------------

    async def create(self, spec: KeySpec, shown: Presented) -> ShownKey:
        """Keep a new key; asked again with the same id, it is the same one.

        Raises ``Conflict`` for a name that is taken, also as a tenant of others, and
        ``InvalidRequest`` for one that has expired already, or that would leave the pool without an
        administrator.
        """
        if spec.has_expired(self._clock()):
            raise InvalidRequest("expires_at", "has passed already: name a time to come")
        if spec.name in self._declared:
            raise Conflict(f"a key named {spec.name!r} stands in pool.toml: choose another name")
        if spec.tenant is None and spec.name in await self._tenants():
            raise Conflict(
                f"{spec.name!r} is the tenant of other keys: choose another name, or name a tenant"
            )
        if "admin" not in spec.scopes and not await self._administrators():
            raise InvalidRequest(
                "scopes",
                "must hold admin in the first key of a pool: once there is a key, nobody enters "
                "without one",
            )
        return await self._shown(await self._store.add(made(spec, shown, self._clock())))

    async def keys(self) -> tuple[ShownKey, ...]:
        """Every key, those of ``pool.toml`` first, with what it has used."""
        declared = [await self._shown_declared(spec) for spec in self._declared.values()]
        return (*declared, *[await self._shown(key) for key in await self._store.keys()])

    async def key(self, name: str) -> ShownKey | None:
        """The key of a name, with what it has used."""
        if name in self._declared:
            return await self._shown_declared(self._declared[name])
        key = await self._store.named(name) if name else None
        return None if key is None else await self._shown(key)

    async def revoke(self, key_id: str) -> ShownKey:
        """Let a key open nothing any more; what it has running goes on. ``Conflict`` for one of
        ``pool.toml``, and for the last one that may administer.
        """
        self._check_not_declared(key_id)
        now = self._clock()
        async with self._revoking:  # two at once would each see the other's
            await self._check_not_last(key_id)
            changed = await self._store.change(key_id, lambda key: revoked(key, now))
        return await self._shown(changed)

    async def rotate(self, key_id: str, digest: str, grace_seconds: float) -> ShownKey:
        """Give a key a new secret; the old one is valid for so long. Asked again with the same
        digest, it changes nothing.
        """
        self._check_not_declared(key_id)
        now, grace = self._clock(), timedelta(seconds=grace_seconds)
        changed = await self._store.change(key_id, lambda key: rotated(key, digest, grace, now))
        return await self._shown(changed)

    def _check_not_declared(self, key_id: str) -> None:
        if key_id in {declared_id(name) for name in self._declared}:
            raise Conflict(f"key {key_id!r} stands in pool.toml: change it there and start again")

    async def _tenants(self) -> set[str]:
        """What other keys name as theirs."""
        known = (*self._declared.values(), *await self._store.keys())
        return {key.tenant for key in known if key.tenant is not None}

    async def _check_not_last(self, key_id: str) -> None:
        left = await self._administrators()
        if len(left) == 1 and isinstance(last := left[0], ApiKey) and last.id == key_id:
            raise Conflict(
                f"key {last.name!r} is the last that may administer: make another one with the "
                "scope admin first"
            )

    async def _administrators(self) -> list[KeySpec]:
        now = self._clock()
        known = (*self._declared.values(), *await self._store.keys())
        return [key for key in known if "admin" in key.scopes and ended(key, now) is None]

    async def _shown(self, key: ApiKey) -> ShownKey:
        return shown_key(key, await self._used(key.id, key))

    async def _shown_declared(self, spec: KeySpec) -> ShownKey:
        return declared_key(spec, await self._used(declared_id(spec.name), spec))

    async def _used(self, key_id: str, spec: KeySpec) -> KeyStanding | None:
        if not spec.is_metered:
            return None
        now = self._clock()
        return standing(await self._store.account(key_id, now), now)

    # -- requests --------------------------------------------------------------------------------

    async def admitted(
        self,
        dispatch: Dispatch,
        caller: Caller,
        place: Place,
        least: Least,
        *,
        runs_as: frozenset[str] = frozenset(),
        home: str | None = None,
    ) -> Execution:
        """Have a request placed as its caller's key lets it run. Its model, or that of requests
        without one, stands for ``runs_as``, if it is an alias; its session lives at ``home``. What
        it holds is no less than ``least`` tells, which is asked for a metered key alone.

        Raises ``KeyEnded``, ``NotPermitted`` naming the field, or what ``place`` raises: with the
        reservation of its permit it claims the execution. One that was admitted before is admitted
        again, and takes nothing more. Where placing it fails and it is nowhere, its reservation is
        given back; else that is settled when it ends.
        """
        request, key = dispatch.request, caller.key
        if key is None:
            return await place(Permit(request=request))
        self.check(key, request, runs_as=runs_as, home=home)
        permit = Permit(request=limited_price(key, request), grant=key.grant, key=key)
        if not key.is_metered:
            return await place(permit)
        holds = self._reservation(caller.key_id, key, dispatch, await least())
        permit = permit.model_copy(update={"reservation": holds})
        return await self._reservations.held(holds.charge, lambda: place(permit))

    async def top_up(self, dispatch: Dispatch, spent_nano_usd: int, least: Least) -> None:
        """Have an execution hold what another attempt may cost, besides what earlier ones have
        spent. Raises a ``KeyLimited`` where the budgets of its key have no room for that.
        """
        caller = await self.caller(dispatch.caller)
        key = caller.key
        if key is None or not key.is_metered or not spent_nano_usd:
            return
        await self._store.top_up(
            self._reservation(caller.key_id, key, dispatch, await least(), spent_nano_usd)
        )

    def received(self, event: PoolEvent) -> None:
        """Settle what has ended as its owner tells, at once."""
        self._reservations.received(event)

    async def caller(self, name: str) -> Caller:
        """Who asks under a name; one without a key is not limited here."""
        if name in self._declared:
            return Caller(key_id=declared_id(name), key=self._declared[name])
        key = await self._store.named(name) if name else None
        return Caller(key_id=key.id, key=key) if key else NOBODY

    def check(
        self,
        key: KeySpec,
        request: ExecutionRequest,
        *,
        runs_as: frozenset[str] = frozenset(),
        home: str | None = None,
    ) -> None:
        """Raise what waiting does not change: ``KeyEnded``, or ``NotPermitted`` for a field."""
        why = ended(key, self._clock())
        if why is not None:
            raise KeyEnded(key.name, why)
        no = forbidden(key, request, default_model=self._default_model, runs_as=runs_as, home=home)
        if no is not None:
            raise NotPermitted(key.name, no.field, no.problem)

    def _reservation(
        self,
        key_id: str,
        key: KeySpec,
        dispatch: Dispatch,
        least: Floor,
        spent_nano_usd: int = 0,
    ) -> Reservation:
        charge = Charge(
            execution_id=dispatch.execution_id,
            key_id=key_id,
            amount_nano_usd=reserved_amount(key, dispatch.request, least, spent_nano_usd),
            at=self._clock(),
        )
        assumed = spent_nano_usd + least.assumed
        return Reservation(charge=charge, key=key, assumed_nano_usd=assumed)
