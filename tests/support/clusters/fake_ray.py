"""Ray's control plane in this process: named actors that come up, freeze, die and are killed when
a test says so. Real Ray is in ``tests/trips``.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import ActorDiedError, ActorUnavailableError

PENDING, ALIVE, RESTARTING, DEAD = 1, 2, 3, 4


class Reference:
    """What a call gives at once."""

    def __init__(self) -> None:
        self.answer: Future[Any] = Future()

    def future(self) -> Future[Any]:
        return self.answer

    def __await__(self) -> Any:
        return asyncio.wrap_future(self.answer).__await__()


@dataclass
class FakeActor:
    """A named actor, and the handle of it."""

    ray: FakeRay
    name: str
    shell: Any
    state: int = PENDING
    is_frozen: bool = False
    waiting: list[tuple[str, tuple[Any, ...], Reference]] = field(default_factory=list)

    def come_up(self) -> None:
        self.state = ALIVE
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            self._begin(*each)

    def restart(self) -> None:
        """Its process has died, and Ray starts another one until it comes up."""
        self.state = RESTARTING

    def die(self) -> None:
        self.state = DEAD
        self.ray.named.pop(self.name, None)
        for _, _, reference in self.waiting:
            reference.answer.set_exception(ActorDiedError())
        self.waiting = []

    def _begin(self, method: str, args: tuple[Any, ...], reference: Reference) -> None:
        if self.state == DEAD:
            reference.answer.set_exception(ActorDiedError())
        elif self.state == RESTARTING:
            reference.answer.set_exception(ActorUnavailableError("it restarts", None))
        elif self.state == PENDING or self.is_frozen:
            self.waiting.append((method, args, reference))
        else:
            self.ray.calls.append(f"{self.name}.{method}")
            task = asyncio.ensure_future(getattr(self.shell, method)(*args))
            task.add_done_callback(lambda done: _answered(done, reference.answer))

    def _get_local_state(self) -> int:
        return self.state

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__") or not hasattr(self.shell, method):
            raise AttributeError(method)
        return _Method(self, method)


@dataclass
class _Method:
    actor: FakeActor
    name: str

    def remote(self, *args: Any) -> Reference:
        reference = Reference()
        loop = self.actor.ray.loop
        loop.call_soon_threadsafe(self.actor._begin, self.name, args, reference)
        return reference


def _answered(done: asyncio.Future[Any], answer: Future[Any]) -> None:
    if answer.set_running_or_notify_cancel():
        if done.exception() is not None:
            answer.set_exception(done.exception())
        else:
            answer.set_result(done.result())


class FakeRay:
    """Stands for the module, in ``ray_actors`` and ``actor_proxy``."""

    def __init__(self, *, comes_up: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.comes_up = comes_up
        self.named: dict[str, FakeActor] = {}
        self.made: list[FakeActor] = []
        self.killed: list[str] = []
        self.calls: list[str] = []
        self.options: dict[str, dict[str, Any]] = {}
        """What each actor was asked for with, by its name."""

    def remote(self, shell: Any) -> Any:
        return _Class(self, shell)

    def get_actor(self, name: str, namespace: str) -> FakeActor:
        try:
            return self.named[name]
        except KeyError:
            raise ValueError(name) from None

    def kill(self, actor: FakeActor, *, no_restart: bool) -> None:
        assert no_restart
        self.killed.append(actor.name)
        self.loop.call_soon_threadsafe(actor.die)
        self.named.pop(actor.name, None)


@dataclass
class _Class:
    ray: FakeRay
    shell: Any

    def options(self, *, name: str, **others: Any) -> _Class:
        self.name = name
        self.ray.options[name] = others
        return self

    def remote(self, *args: Any) -> FakeActor:
        known = self.ray.named.get(self.name)
        if known is not None:
            return known
        actor = FakeActor(self.ray, self.name, self.shell(*args))
        self.ray.named[self.name] = actor
        self.ray.made.append(actor)
        if self.ray.comes_up:
            actor.state = ALIVE
        return actor
