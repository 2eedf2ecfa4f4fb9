"""A served pool for a measurement, and its callers over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from pool.claude.process.files.run_directory import RunDirectory
from tests.benchmarks.bare_cli import MODEL, PROMPT
from tests.support.services.service import NO_TLS, START_SECONDS, Service, write_config

NOWHERE = "http://127.0.0.1:9"
LATER_SECONDS = 10.0
"""For each subscription to come up on a busy machine; an idle one takes 1.5 s."""


@contextmanager
def served(
    folder: Path,
    api_url: str,
    *,
    subscriptions: int = 3,
    slots: int = 8,
    more: str = "",
    **processes: object,
) -> Iterator[PoolCallers]:
    """A running pool on the real CLI, or on what ``more`` names; with settings of processes."""
    known = {"subscriptions": subscriptions, "slots": slots, "more": more}
    config = write_config(folder, api_url, processes=processes, variables={}, **known)
    tokens = {f"SUB{n}_TOKEN": f"test-token-{n}" for n in range(1, subscriptions + 1)}
    service = Service(config, tokens, START_SECONDS + LATER_SECONDS * subscriptions)
    service.start()
    try:
        with PoolCallers(service) as callers:
            yield callers
    finally:
        service.stop()


class PoolCallers:
    """Callers of one pool, each of whom waits for an answer before the next request."""

    def __init__(self, service: Service) -> None:
        self.service = service
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self._http = httpx.Client(
            base_url=service.url, timeout=120, trust_env=False, verify=NO_TLS, limits=limits
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def executed(self, **fields: Any) -> tuple[float, dict[str, Any]]:
        """How long one execution takes, and what it came to."""
        began = time.perf_counter()
        answer = self._http.post("/v1/executions", json={"prompt": PROMPT, **fields})
        took = time.perf_counter() - began
        execution = answer.json()
        if answer.status_code != 200 or execution["status"] != "succeeded":
            raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
        return took, execution

    def messaged(self, history: list[dict[str, Any]]) -> tuple[float, dict[str, Any]]:
        """How long the next turn of a conversation takes as an SDK sends it, whole and with its
        ``max_tokens``, and what it came to; the history has the answer then.
        """
        history.append({"role": "user", "content": PROMPT})
        body = {"model": MODEL, "max_tokens": 500, "messages": history}
        began = time.perf_counter()
        answer = self._http.post("/v1/messages", json=body)
        took = time.perf_counter() - began
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
        message = answer.json()
        history.append({"role": "assistant", "content": message["content"]})
        execution_id = message["pool"]["execution_id"]
        return took, self._http.get(f"/v1/executions/{execution_id}").json()

    def rank(self) -> None:
        """Ask which subscription a request would be sent to."""
        self._http.post("/v1/route", json={"prompt": PROMPT}).raise_for_status()

    def seconds(self) -> float:
        return self.executed()[0]

    def first_text(self) -> tuple[float, float]:
        """How long it takes until the CLI has printed the first piece of its answer, and until a
        caller has it.
        """
        with ThreadPoolExecutor(1) as threads:
            known = self.run_directories()
            began = time.perf_counter()
            printing = threads.submit(self._printed_at, known, began + 60)
            body = {"prompt": PROMPT, "stream": True}
            arrived = None
            with self._http.stream("POST", "/v1/executions", json=body) as answer:
                for line in answer.iter_lines():
                    if arrived is None and line.startswith("event: text"):
                        arrived = time.perf_counter()
            if arrived is None:
                raise RuntimeError("the pool gave no text")
            return printing.result() - began, arrived - began

    def run_directories(self) -> set[Path]:
        return set(self.service.data_dir.glob("subscriptions/*/runs/*"))

    def _printed_at(self, known: set[Path], until: float) -> float:
        """When the first text stood in the spool of a run that is not known yet."""
        while time.perf_counter() < until:
            for path in self.run_directories() - known:
                if _has_text(RunDirectory(path.parent, path.name).process.stdout):
                    return time.perf_counter()
            time.sleep(0.0005)
        raise RuntimeError("no run printed any text")

    def rate(self, callers: int, each: int = 1) -> float:
        """Executions a second, of so many callers at once."""
        began = time.perf_counter()
        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(lambda _: self.executed(), range(callers * each)))
        return callers * each / (time.perf_counter() - began)


def _has_text(spool: Path) -> bool:
    try:
        return b'"text_delta"' in spool.read_bytes()
    except OSError:  # it is being made
        return False


def way_of(execution: dict[str, Any]) -> str:
    """How the last attempt of an execution was run: cold, ahead, kept or reused."""
    return str(execution["attempts"][-1].get("process") or "cold")
