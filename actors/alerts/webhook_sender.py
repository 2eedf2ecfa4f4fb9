"""Posting an alert to a webhook: signed, once, to an address that was looked at first.

A name is resolved for every attempt; where any of its addresses is not of the public internet, and
the webhook was not allowed that, nothing is sent. The connection goes to the address that was
judged, so that a name that resolves otherwise a moment later gains nothing; certificates are still
checked against the name. No proxy of the environment is asked, since that would resolve again; no
redirect is followed; of the answer nothing is read but its head.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from ipaddress import ip_address

import httpx

from pool.alerts.alerts import Alert
from pool.alerts.delivery import Answer
from pool.alerts.ssrf import Address, why_forbidden
from pool.alerts.webhooks import Webhook, headers, payload

POST_SECONDS = 15.0
"""Time enough for a receiver that answers before it works, as the specification asks of it."""
MOST_ADDRESSES = 3
"""Of a name that has many: how many are tried until one takes the connection."""

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def resolved(host: str, port: int) -> tuple[Address, ...]:
    """The addresses of a host as this machine sees them, whatever form it is written in."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(each[4][0]) for each in found))


class WebhookSender:
    """The way out to webhooks, shared by all of them."""

    def __init__(self, resolve: Resolve = resolved, seconds: float = POST_SECONDS) -> None:
        self._resolve = resolve
        self._seconds = seconds
        # A kept connection could be used for another name at the same address.
        self._client = httpx.AsyncClient(
            verify=httpx.create_ssl_context(),
            trust_env=False,
            timeout=seconds,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def post(self, webhook: Webhook, alert: Alert, now: datetime) -> Answer:
        """One attempt, however it ends. Problems never quote the URL: it may hold a token."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._posted(webhook, alert, now)
        except (TimeoutError, httpx.TimeoutException):
            return Answer(problem=f"it did not answer within {self._seconds:g} s")
        except socket.gaierror:
            return Answer(problem="its name cannot be resolved")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(problem=f"it cannot be reached ({type(error).__name__})")

    async def _posted(self, webhook: Webhook, alert: Alert, now: datetime) -> Answer:
        url = httpx.URL(webhook.spec.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._resolve(url.raw_host.decode(), port)
        if not webhook.spec.allow_private:
            forbidden = next(filter(None, map(why_forbidden, addresses)), None)
            if forbidden is not None:
                return Answer(problem=f"its address is refused: {forbidden}")
        body = payload(alert)
        signed = {**headers(webhook.key, alert, body, now), "host": url.netloc.decode()}
        failed: httpx.HTTPError | None = None
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._sent(url, address, signed, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed or OSError("no address")

    async def _sent(
        self, url: httpx.URL, address: Address, signed: dict[str, str], body: bytes
    ) -> Answer:
        request = self._client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            headers=signed,
            content=body,
            extensions={"sni_hostname": url.raw_host.decode()},
        )
        response = await self._client.send(request, stream=True, follow_redirects=False)
        self._client.cookies.clear()  # nothing of one webhook is ever sent to another
        await response.aclose()
        return Answer(status=response.status_code, retry_after=response.headers.get("retry-after"))
