"""The client for programs without an event loop: the same methods, values and errors, blocking.

Its calls run in an event loop on a thread of its own, which begins with the first call. So a client
costs nothing to make or to send to a task of Ray, and begins its thread anew where it arrives. The
thread ends when the client is closed, or when nobody holds it any more. Signatures, types and
docstrings of the methods are those of ``PoolClient``.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from functools import partial, update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, get_args, get_type_hints

from anyio.from_thread import start_blocking_portal

from actors.client.client import PoolClient

P = ParamSpec("P")
T = TypeVar("T")


class _LoopThread:
    """An event loop on a thread of its own, which puts everything away when it ends."""

    def __init__(self) -> None:
        self._is_over = False
        self._context = ExitStack()
        self.portal = self._context.enter_context(start_blocking_portal(name="pool-client"))

    def end(self) -> None:
        """End it, and what waits in it."""
        self._is_over = True
        with suppress(RuntimeError):  # it has ended
            self.portal.call(self.portal.stop, True)
        self._context.close()

    def end_soon(self) -> None:
        """The same from any thread, this one included: nobody holds its client any more."""
        if not self._is_over:
            threading.Thread(target=self.end, daemon=True).start()


def _blocking(
    method: Callable[Concatenate[PoolClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingPoolClient, P], T]:
    """The method, waited for."""

    def call(self: BlockingPoolClient, /, *args: P.args, **named: P.kwargs) -> T:
        answer: T = self._wait(partial(getattr(self._client, method.__name__), *args, **named))
        return answer

    return update_wrapper(call, method)


def _iterated(
    method: Callable[Concatenate[PoolClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[BlockingPoolClient, P], Iterator[T]]:
    """The generator, taken item by item."""

    def call(self: BlockingPoolClient, /, *args: P.args, **named: P.kwargs) -> Iterator[T]:
        return self._each(getattr(self._client, method.__name__)(*args, **named))

    update_wrapper(call, method)
    (item, _) = get_args(get_type_hints(method)["return"])
    call.__annotations__ = {**method.__annotations__, "return": Iterator[item]}  # type: ignore[valid-type]
    return call


class BlockingPoolClient:
    """``PoolClient`` on a thread of its own. Safe to share between threads; close it at the end."""

    def __init__(self, client: PoolClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._thread: _LoopThread | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[BlockingPoolClient], tuple[PoolClient]]:
        return type(self), (self._client,)

    def close(self) -> None:
        """End the thread, and what still waits in it with ``CancelledError``. Executions go on."""
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        future = self._running().portal.start_task_soon(call)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _running(self) -> _LoopThread:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this client was closed: make another one")
            if self._thread is None:
                self._thread = _LoopThread()
                weakref.finalize(self, self._thread.end_soon)
            return self._thread

    def _each(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Items as they come, each asked for when the one before was taken."""

        async def following() -> T | None:
            return await anext(items, None)

        try:
            while (item := self._wait(following)) is not None:
                yield item
        finally:
            if not self._is_closed:
                self._wait(items.aclose)

    start = _blocking(PoolClient.start)
    execute = _blocking(PoolClient.execute)
    stream = _iterated(PoolClient.stream)
    events = _iterated(PoolClient.events)
    progress = _blocking(PoolClient.progress)
    ended = _blocking(PoolClient.ended)
    result = _blocking(PoolClient.result)
    tool_results = _blocking(PoolClient.tool_results)
    round_ended = _blocking(PoolClient.round_ended)
    execution_of_calls = _blocking(PoolClient.execution_of_calls)
    go_on = _blocking(PoolClient.go_on)
    conversation_answered = _blocking(PoolClient.conversation_answered)
    cancel = _blocking(PoolClient.cancel)
    executions = _blocking(PoolClient.executions)
    route = _blocking(PoolClient.route)
    sessions = _blocking(PoolClient.sessions)
    session = _blocking(PoolClient.session)
    forget_session = _blocking(PoolClient.forget_session)
    subscriptions = _blocking(PoolClient.subscriptions)
    shown_subscriptions = _blocking(PoolClient.shown_subscriptions)
    subscription = _blocking(PoolClient.subscription)
    add = _blocking(PoolClient.add)
    change = _blocking(PoolClient.change)
    remove = _blocking(PoolClient.remove)
    pause = _blocking(PoolClient.pause)
    resume = _blocking(PoolClient.resume)
    drain = _blocking(PoolClient.drain)
    report_usage = _blocking(PoolClient.report_usage)
    report_telemetry = _blocking(PoolClient.report_telemetry)
    usage = _blocking(PoolClient.usage)
    retract_usage = _blocking(PoolClient.retract_usage)
    usage_by = _blocking(PoolClient.usage_by)
    own_usage = _blocking(PoolClient.own_usage)
    capacity = _blocking(PoolClient.capacity)
    blocks = _blocking(PoolClient.blocks)
    is_open = _blocking(PoolClient.is_open)
    authenticate = _blocking(PoolClient.authenticate)
    keys = _blocking(PoolClient.keys)
    create_key = _blocking(PoolClient.create_key)
    rotate_key = _blocking(PoolClient.rotate_key)
    revoke_key = _blocking(PoolClient.revoke_key)
    backup = _blocking(PoolClient.backup)
    stop = _blocking(PoolClient.stop)
    alerts = _blocking(PoolClient.alerts)
    nodes = _blocking(PoolClient.nodes)
    happenings = _blocking(PoolClient.happenings)
    watch = _iterated(PoolClient.watch)
    figures = _blocking(PoolClient.figures)
    shown_figures = _blocking(PoolClient.shown_figures)
    heard_from = _blocking(PoolClient.heard_from)
    reconcile = _blocking(PoolClient.reconcile)
    reconciliations = _blocking(PoolClient.reconciliations)
    reconciliation = _blocking(PoolClient.reconciliation)
    reverse_adjustments = _blocking(PoolClient.reverse_adjustments)
    pool = _blocking(PoolClient.pool)
