"""A history, written as a transcript that the CLI goes on from: so its turns reach the model as
turns.

The CLI reads a session's transcript (``--resume``) and sends what was said in it as it stands
there: text, images, documents, calls of tools and their results (tried on 2.1.330). A line is a
turn here; each names the one before. The same history gives the same lines but for the session's
name, so that what goes to the API begins with the same bytes, which Anthropic's cache knows.

Nothing in it was answered by the session: its answers count no tokens, and its prompts bear uuids
of the pool's (version 5), by which ``external_usage`` knows whose they are. A file of it is one of
the session's like any other: it is copied, moved and removed with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pool.claude.launch.launch_spec import Launch
from pool.claude.transcripts.copy import SessionCopy, SessionFile, install_session
from pool.executions.content.turn import ToolUsePart, Turn, content_of
from pool.values import instant_text

_VERSION = "2.1.0"
"""The CLI's, of which nothing hangs here."""
_MAX_FOLDER = 200
"""Characters of a folder's name. The CLI finds a session below whichever it is, and goes on there
(tried on 2.1.330)."""
_NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}


def transcript(
    turns: Sequence[Turn], session_id: str, *, model: str, work_dir: Path, at: datetime
) -> bytes:
    """The lines of a transcript that tells of these turns, which alternate and begin with one of
    the user. ``work_dir``: where the CLI is to go on. ``at``: when it is written.
    """
    lines, before = [], None
    for number, turn in enumerate(turns):
        uuid = _uuid(session_id, number)
        lines.append(
            {
                "parentUuid": before,
                "isSidechain": False,
                "userType": "external",
                "cwd": str(work_dir),
                "sessionId": session_id,
                "version": _VERSION,
                "gitBranch": "",
                "type": turn.role,
                "message": _message(turn, uuid, model),
                "uuid": uuid,
                "timestamp": instant_text(at),
            }
        )
        before = uuid
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in lines)


def install_history(config_dir: Path, launch: Launch, work_dir: Path) -> None:
    """Write the history that a run's session begins with where the CLI finds it, in the place of
    whatever was there of that session. Blocking.
    """
    data = transcript(
        launch.history,
        launch.session_id,
        model=launch.model,
        work_dir=work_dir,
        at=datetime.now(UTC),
    )
    path = f"{re.sub('[^a-zA-Z0-9]', '-', str(work_dir))[-_MAX_FOLDER:]}/{launch.session_id}.jsonl"
    file = SessionFile(path=path, data=data, sha256=hashlib.sha256(data).hexdigest())
    install_session(config_dir, SessionCopy(session_id=launch.session_id, files=(file,)))


def _message(turn: Turn, uuid: str, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": content_of(turn)}
    if turn.role == "user":
        return message
    calls = any(isinstance(part, ToolUsePart) for part in turn.content)
    return {
        "id": f"msg_{UUID(uuid).hex}",
        "type": "message",
        "model": model,
        **message,
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": _NO_USAGE,
    }


def _uuid(session_id: str, number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"{session_id}/history/{number}"))
