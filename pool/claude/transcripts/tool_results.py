"""A session's transcript, cut off after the calls that some results are of, with the results in it.

The CLI goes on from it (``--resume``) as if the results had come in time: tried on 2.1.330, the API
was asked with the calls and their results as turns. What the CLI wrote after the calls, such as
that they were interrupted, is left out; so is what the session had cost by then. A CLI that was
killed may not have written the calls: then they are written of what is known of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pool.claude.launch.command import content
from pool.claude.launch.launch_spec import Launch
from pool.claude.output.lines import Message, message_of
from pool.claude.transcripts.copy import SessionCopy, SessionFile
from pool.executions.tools.client_tools import PREFIX, Part, TextPart, ToolResult
from pool.executions.tools.rounds import Continuation
from pool.values import instant_text

_OF_ITS_PLACE = ("cwd", "version", "gitBranch")
_VERSION = "2.1.0"
"""The CLI's, of which nothing hangs here."""
_NO_NAME = re.compile(r"[^A-Za-z0-9]")


def with_prompt(launch: Launch, work_dir: Path, at: datetime) -> SessionCopy:
    """The session of a launch as it stands with its prompt alone."""
    message = {"role": "user", "content": content(launch)}
    entry = _entry([], launch.session_id, at, "user", message)
    line = {**entry, "sessionId": launch.session_id, "cwd": str(work_dir), "version": _VERSION}
    folder = _NO_NAME.sub("-", str(work_dir))
    return _of_one_file(f"{folder}/{launch.session_id}.jsonl", launch.session_id, [line])


def with_results(
    copy: SessionCopy, session_id: str, continuation: Continuation, at: datetime
) -> SessionCopy:
    """A session of another name that ends in the results."""
    transcript = copy.files[0]
    entries = list(_up_to_the_calls(transcript.data, {call.id for call in continuation.calls}))
    if not any(_calls(entry) & _ids(continuation) for entry in entries):
        entries.append(_entry(entries, session_id, at, "assistant", _called(continuation)))
    answer = {"role": "user", "content": [_result(each) for each in continuation.results]}
    entries.append(_entry(entries, session_id, at, "user", answer))
    path = PurePosixPath(transcript.path).with_name(f"{session_id}.jsonl").as_posix()
    return _of_one_file(path, session_id, entries)


def _of_one_file(path: str, session_id: str, entries: list[Message]) -> SessionCopy:
    lines = (
        json.dumps({**each, "sessionId": session_id}, separators=(",", ":")) for each in entries
    )
    data = "".join(f"{line}\n" for line in lines).encode()
    file = SessionFile(path=path, data=data, sha256=hashlib.sha256(data).hexdigest())
    return SessionCopy(session_id=session_id, files=(file,))


def _up_to_the_calls(transcript: bytes, calls: set[str]) -> Iterator[Message]:
    """What was said, as the transcript has it, up to the calls: with what other tools gave that
    were called beside them.
    """
    entries = [entry for line in transcript.splitlines() if "uuid" in (entry := message_of(line))]
    made = [number for number, entry in enumerate(entries) if _calls(entry) & calls]
    last = made[-1] if made else len(entries) - 1
    for number, entry in enumerate(entries):
        answers = _answers(entry)
        if not answers & calls and (number <= last or answers):
            yield entry


def _calls(entry: Message) -> set[str]:
    return {str(block.get("id")) for block in _blocks(entry, "tool_use")}


def _answers(entry: Message) -> set[str]:
    return {str(block.get("tool_use_id")) for block in _blocks(entry, "tool_result")}


def _blocks(entry: Message, kind: str) -> list[dict[str, Any]]:
    message = entry.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    return [each for each in blocks if isinstance(each, dict) and each.get("type") == kind]


def _ids(continuation: Continuation) -> set[str]:
    return {call.id for call in continuation.calls}


def _entry(
    before: list[Message], session_id: str, at: datetime, kind: str, message: dict[str, Any]
) -> Message:
    """A further line, after all that stand before it."""
    last = before[-1] if before else {}
    uuid = str(uuid5(NAMESPACE_URL, f"{session_id}/results/{len(before)}"))
    if kind == "assistant":
        message = {"id": f"msg_{UUID(uuid).hex}", "type": "message", **message}
    kept: Message = {name: last[name] for name in _OF_ITS_PLACE if name in last}
    return {
        "parentUuid": last.get("uuid"),
        "isSidechain": False,
        "userType": "external",
        **kept,
        "type": kind,
        "message": message,
        "uuid": uuid,
        "timestamp": instant_text(at),
    }


def _called(continuation: Continuation) -> dict[str, Any]:
    """The answer that made the calls, as far as it is known. What it cost was counted before."""
    said = [{"type": "text", "text": continuation.text}] if continuation.text else []
    calls = [
        {"type": "tool_use", "id": call.id, "name": PREFIX + call.name, "input": call.input}
        for call in continuation.calls
    ]
    return {
        "role": "assistant",
        "model": continuation.model,
        "content": [*said, *calls],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def _result(result: ToolResult) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": result.tool_use_id,
        "content": [_part(each) for each in result.content],
        "is_error": result.is_error,
    }


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    return {"type": "image", "source": source}
