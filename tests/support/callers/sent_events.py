"""The events of a run as a reader gets them, and a run that says many words, slowly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx

WORDS = " ".join(f"word{n}" for n in range(200))
SLOWLY = f"[[standin slow seconds=6 chunks=60]] [[standin text={WORDS}]]"
Sent = dict[str, Any]


def events_of(response: httpx.Response) -> Iterator[Sent]:
    fields: Sent = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
        elif not line and fields:
            yield {**fields, "arrived_at": time.monotonic()}
            fields = {}


def text_of(sent: list[Sent]) -> str:
    return "".join(each["data"]["text"] for each in sent if each["event"] == "text")


def is_whole(sent: list[Sent]) -> bool:
    """Everything once, in order, and the result last."""
    ids = [each["id"] for each in sent]
    result = sent[-1]["data"]["execution"]
    return (
        len(set(ids)) == len(ids)
        and sent[0]["event"] == "attempt"
        and [each["event"] for each in sent].count("result") == 1
        and result["status"] == "succeeded"
        and text_of(sent) == result["result"] == WORDS
    )
