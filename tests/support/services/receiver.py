"""A receiver of webhooks: real HTTP on loopback, which answers what it is told and verifies as a
receiver would.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Received:
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_genuine(self, secret: str = SECRET) -> bool:
        """Verified from the words of the specification, by none of the sender's code."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        timestamp = self.headers["webhook-timestamp"]
        signed = f"{self.id}.{timestamp}.{self.body.decode()}".encode()
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"].split(",") == ["v1", expected]


@dataclass
class Receiver:
    """Answers with ``script``, one after the other, and then with 204; ``0`` never answers."""

    script: list[int] = field(default_factory=list)
    answer_headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def url(self, host: str = "127.0.0.1", path: str = "/hook") -> str:
        return f"http://{host}:{self.port}{path}"

    async def wait_for(self, count: int) -> list[Received]:
        async with asyncio.timeout(20):
            while len(self.received) < count:
                self._news.clear()
                await self._news.wait()
        return self.received

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = [line.partition(":") for line in head[1:] if line]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.received.append(Received(head[0].split()[1], headers, body))
            self._news.set()
            status = self.script.pop(0) if self.script else 204
            if status == 0:
                await reader.read()  # until the sender has had enough
                return
            told = "".join(f"{name}: {text}\r\n" for name, text in self.answer_headers.items())
            writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n{told}\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
