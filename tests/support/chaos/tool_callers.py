"""Callers over HTTP who run tools for a model, and do not give up whatever is killed meanwhile."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

from pool.claude.process.files.run_directory import RunDirectory
from tests.support.services.service import Service

STEPS = 2
"""How often the model calls a tool of theirs before it answers."""
_SECONDS = 120.0
"""For a request, a start of the whole service included."""
_PROMPT = f"[[standin name=mcp__caller__look]] [[standin tool steps={STEPS}]]"
_TOOL = {"name": "look", "description": "Look.", "input_schema": {"type": "object"}}


class ToolCallers:
    """Each of them asks, and sends a result for each call, in a thread of its own. They can be held
    at their turn: then the model waits for them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads: list[threading.Thread] = []
        self._may_answer = threading.Event()
        self._lock = threading.Lock()
        self.at_turn = 0
        """How often it has become the turn of one of them."""
        self.ids: set[str] = set()
        """Of every execution that they were told of."""
        self.answers: dict[str, dict[str, Any] | Exception] = {}

    def ask(self, key: str, **body: object) -> None:
        thread = threading.Thread(target=self._ask, args=(key, body))
        self._threads.append(thread)
        thread.start()

    def release(self) -> None:
        """Have them answer, now and at every further turn."""
        self._may_answer.set()

    def gathered(self) -> dict[str, dict[str, Any]]:
        """What each of them got in the end."""
        deadline = time.monotonic() + 2 * _SECONDS
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            assert not thread.is_alive(), "a caller still waits"
        failed = {key: each for key, each in self.answers.items() if isinstance(each, Exception)}
        assert not failed, failed
        return {key: each for key, each in self.answers.items() if isinstance(each, dict)}

    def _ask(self, key: str, body: dict[str, object]) -> None:
        try:
            self.answers[key] = self._answered(key, body)
        except Exception as error:  # noqa: BLE001 - told to whoever gathers
            self.answers[key] = error

    def _answered(self, key: str, body: dict[str, object]) -> dict[str, Any]:
        asked = {"prompt": f"{key} {_PROMPT}", "client_tools": [_TOOL], **body}
        answer = self._post("/v1/executions", asked, {"Idempotency-Key": key})
        while answer["status"] == "waiting_for_caller":
            with self._lock:
                self.at_turn += 1
            assert self._may_answer.wait(_SECONDS), "they were held for good"
            calls = [call["id"] for call in answer["tool_calls"]]
            results = [{"tool_use_id": each, "content": f"of {each}"} for each in calls]
            path = f"/v1/executions/{answer['id']}/tool_results"
            answer = self._post(path, {"results": results}, {})
        return answer

    def _post(self, path: str, body: dict[str, object], headers: dict[str, str]) -> dict[str, Any]:
        """The answer, once there is one: while the service is away, one asks again."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                with self._service.client() as http:
                    answer = http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the service did not come back"
            else:
                if answer.status_code != 503 or time.monotonic() > deadline:
                    break
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        with self._lock:
            self.ids.add(told["id"])
        return told


def waiting_processes(service: Service) -> set[int]:
    """The CLIs of runs that have not ended, and their supervisors."""
    runs = (RunDirectory(path.parent, path.name) for path in service.run_directories())
    started = (run.process.started() for run in runs if run.stretch() is None or _goes_on(run))
    return {each.pid for found in started if found for each in (found.supervisor, found.cli)}


def _goes_on(run: RunDirectory) -> bool:
    stretch = run.stretch()
    return stretch is not None and stretch.answer_ends is None
