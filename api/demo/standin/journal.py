"""The journal of arrivals: every request but those that steer the stand-in, without its
credential.

Tests read here that a prompt reached the API verbatim, which system prompt went with it, and how
often anybody asked. Bounded by number and by bytes, oldest dropped first; the counts go on. Any
thread may read.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.demo.answers.conversation import last_user_text
from api.demo.standin.bill import fingerprint

MESSAGES = "/v1/messages"
MAX_REQUESTS = 2_000
MAX_BYTES = 64 * 1024 * 1024


class Recorded(BaseModel):
    """One request as it came. `headers` has lower-case names and no credential; `body` is None when
    it was not JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    method: str
    path: str
    auth: Literal["bearer", "x-api-key", "none"]
    credential: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    size_bytes: int
    received_at: datetime

    def last_user_text(self) -> str:
        """The user's newest words in this request, verbatim, without the CLI's own notes."""
        return last_user_text(self.body or {})

    def system_text(self) -> str:
        """The system prompt, its blocks joined by newlines."""
        system = (self.body or {}).get("system") or ""
        if isinstance(system, str):
            return system
        return "\n".join(str(block.get("text", "")) for block in system)


class Journal:
    """The latest requests, oldest first."""

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._lock = threading.Lock()
        self._requests: deque[Recorded] = deque()
        self._bytes = 0
        self._counts: Counter[str] = Counter()

    def add(self, request: Recorded) -> None:
        """Keep `request`, dropping the oldest beyond the bounds."""
        with self._lock:
            self._requests.append(request)
            self._bytes += request.size_bytes
            self._counts[request.credential] += request.path == MESSAGES
            while len(self._requests) > self._max_requests or self._bytes > self._max_bytes:
                self._bytes -= self._requests.popleft().size_bytes

    def all(self, token: str | None = None, path: str | None = None) -> tuple[Recorded, ...]:
        """The kept requests, those of one raw `token` or one `path` when given."""
        who = None if token is None else fingerprint(token)
        with self._lock:
            return tuple(
                request
                for request in self._requests
                if who in (None, request.credential) and path in (None, request.path)
            )

    def count(self, token: str | None = None) -> int:
        """How many message requests came, dropped ones included; those of one raw `token` when
        given.
        """
        with self._lock:
            return self._counts.total() if token is None else self._counts[fingerprint(token)]

    def clear(self) -> None:
        """Forget everything, the counts too."""
        with self._lock:
            self._requests.clear()
            self._counts.clear()
            self._bytes = 0
