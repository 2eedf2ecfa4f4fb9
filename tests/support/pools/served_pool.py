"""A local pool behind the HTTP of the service, on a thread of its own: for whoever asks from
outside, and for whom it makes no difference that no Ray is between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.config import ServerSettings
from tests.support.pools.localpool import LocalPool

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    url: str
    pool: LocalPool
    portal: BlockingPortal

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """What a call comes to in the event loop of the pool."""
        return self.portal.call(function)


@contextmanager
def served(
    pool: AbstractAsyncContextManager[LocalPool], *, operator: str | None = None, port: int = 0
) -> Iterator[Served]:
    """Enter a pool and serve it for as long as the block, to its keys and its operator's."""

    @asynccontextmanager
    async def running() -> AsyncIterator[tuple[str, LocalPool]]:
        async with pool as entered:
            app = create_app(entered.client, Keys({}, operator), clock=entered.clock)
            with bound(ServerSettings(port=port)) as listener:
                async with listening(app, listener) as url:
                    yield url, entered

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running()) as there:
        yield Served(*there, portal)
