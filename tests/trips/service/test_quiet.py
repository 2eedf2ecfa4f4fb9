"""G10: prompts, answers and credentials stand in no log, metric, error or process list.

One pool lives through a day of work, mishaps included, at its most talkative log level: real Ray
and the real CLI. Meanwhile the process list is read over and over; afterwards everything that
anybody wrote into a log is searched.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.services import shared_pool
from tests.support.services.service import Service

pytestmark = pytest.mark.timeout(240)

SECRETS = {
    "prompt": "plan-of-the-merger-51d0",
    "system prompt": "you-know-the-merger-62e1",
    "answer": "they-sign-on-monday-73f2",
    "token": shared_pool.TOKEN,
    "key": shared_pool.DECLARED_KEY,
    "wrong key": "key-of-nobody-a6c5",
}
PROMPT = f"[[standin text={SECRETS['answer']}]] {SECRETS['prompt']}"
ANSWERED = {"prompt": PROMPT, "system_prompt": SECRETS["system prompt"]}
SLOW = f"[[standin slow seconds=3 chunks=12]] {PROMPT}"


@dataclass
class Evidence:
    """Text by the place where it stood."""

    found: dict[str, str] = field(default_factory=dict)
    issued: str = ""
    operator: str = ""
    """The secret of a key that the pool made."""

    def places_of(self, secret: str) -> list[str]:
        return [place for place, text in self.found.items() if secret in text]


# -- a day of work -------------------------------------------------------------------------------


@contextmanager
def process_list_watched(evidence: Evidence) -> Iterator[None]:
    done, seen = threading.Event(), set[str]()

    def watch() -> None:
        while not done.wait(0.1):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        seen.add((entry / "cmdline").read_text(errors="replace"))
                    except OSError:
                        continue

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
        evidence.found["the process list"] = "\n".join(seen)


def worked(http: httpx.Client) -> None:
    """Answers, in every way that there is."""
    done = http.post("/v1/executions", json=ANSWERED).json()
    assert done["result"] == SECRETS["answer"], done
    again = {"session_id": done["session_id"], "stream": True, **ANSWERED}
    assert SECRETS["answer"] in http.post("/v1/executions", json=again).text
    messages = [{"role": "user", "content": PROMPT}]
    said = {"model": "sonnet", "messages": messages, "max_tokens": 100}
    assert SECRETS["answer"] in http.post("/v1/messages", json=said).text
    assert SECRETS["answer"] in http.post("/v1/chat/completions", json=said).text


def mishaps(http: httpx.Client) -> list[httpx.Response]:
    """What goes wrong, and nobody's answer repeats what was sent."""
    secret, executions = SECRETS["prompt"], "/v1/executions"
    started = http.post(executions, json={"prompt": SLOW, "background": True}).json()
    http.post(f"{executions}/{started['id']}/cancel")
    broken = [
        f"[[standin {each}]] {secret}" for each in ("credit_too_low", "refusal", "error_event")
    ]
    http.post(executions, json={"prompt": SLOW, "timeout_seconds": 1})
    json_ = {"content-type": "application/json"}
    return [
        *(http.post(executions, json={"prompt": each}) for each in broken),
        http.post(executions, content=f'{{"prompt": "{secret}', headers=json_),
        http.post(executions, json={"prompt": [secret]}),
        http.post(executions, json={"prompt": "x", "max_turns": secret}),
        http.post(executions, json={"prompt": secret + "\x00"}),
        http.post("/v1/messages", json={"messages": secret}),
        http.post("/v1/chat/completions", json={"messages": [{"role": secret}]}),
        http.get("/v1/pool", headers={"authorization": f"Bearer {SECRETS['wrong key']}"}),
        http.get("/metrics"),
    ]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    pool = shared_pool.POOL.ready(tmp_path_factory.mktemp, at_work=1)
    evidence = Evidence()
    service = pool.service
    with process_list_watched(evidence), service.client(as_operator=False) as http:
        evidence.operator = service.operator["x-api-key"]
        http.headers["authorization"] = f"Bearer {SECRETS['key']}"
        evidence.issued = http.post("/v1/keys", json={"name": "ci"}).json()["secret"]
        http.get("/v1/pool", headers={"authorization": f"Bearer {evidence.issued}"})
        http.get("/v1/pool%0a%7B%22event%22:%22forged%22%7D%1b[2J")
        worked(http)
        answers = mishaps(http)
        broken = answers[0].json()
        await_log(service, broken.get("id") or broken["execution_id"])
    for n, answer in enumerate(answers):
        told = f"{answer.headers}{answer.text}"
        evidence.found[f"answer {n}: {answer.request.url.path}"] = told
    folder = service.config.parent
    evidence.found |= written(pool.temporary)  # Ray's files
    evidence.found |= written(folder, "*.log") | written(folder, "data/logs/*")
    return evidence


def await_log(service: Service, id_: str) -> None:
    """An actor's lines come by a file, some time after they were written."""
    deadline = time.monotonic() + 30
    while id_ not in service.log.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def written(folder: Path, files: str = "**/*") -> dict[str, str]:
    paths = (path for path in folder.glob(files) if path.is_file())
    return {str(path): path.read_text(errors="replace") for path in paths}


# -- and what is left of it ----------------------------------------------------------------------


@pytest.mark.parametrize("what", SECRETS)
def test_it_stands_nowhere(evidence: Evidence, what: str) -> None:
    assert evidence.places_of(SECRETS[what]) == []


def test_the_secret_of_an_issued_key_stands_nowhere(evidence: Evidence) -> None:
    assert evidence.places_of(evidence.issued) == []


def test_the_operators_key_stands_in_its_file_alone(evidence: Evidence) -> None:
    assert evidence.places_of(evidence.operator) == []


def test_what_was_searched_is_what_is_written_to(evidence: Evidence) -> None:
    names = list(evidence.found)

    assert any(name.endswith("service.log") for name in names)
    assert any("worker-" in name and name.endswith(".err") for name in names)
    assert any("raylet" in name for name in names)
    unwanted = ("log_monitor", "monitor.", "dashboard.")
    assert not [name for name in names if Path(name).name.startswith(unwanted)], "for nobody"
    assert {"router.jsonl", "subscription-sub1.jsonl"} <= {Path(name).name for name in names}
    assert "--output-format=stream-json" in evidence.found["the process list"]


def test_each_line_of_the_pool_is_one_event_whatever_an_address_holds(evidence: Evidence) -> None:
    words_of_ray = [
        line
        for name, text in evidence.found.items()
        if "worker-" in name and name.endswith(".err")
        for line in text.splitlines()
        if not line.startswith((":job_id:", ":actor_name:", ":task_name:"))
    ]
    logs = [
        text
        for name, text in evidence.found.items()
        if name.endswith(("service.log", ".jsonl")) and text
    ]

    assert words_of_ray == []
    assert len(logs) > 3
    for log in logs:
        assert not any(parsed(line).get("event") == "forged" for line in log.splitlines())
        assert "\x1b[2J" not in log


def parsed(line: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line)
    return event
