"""Log lines: one JSON object each, a constant event with its fields.

A line bears the ids of what it is about without naming them: those of its process (a subscription's
subscription) and of its task (an execution, a request); fields given with the event go before.
Prompts, answers and credentials have no way in: an exception is shown by its type and the places in
the code it came through, and by its message only where that is known to hold no values (the pool's
own errors and the operating system's).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pool.errors import PoolError
from pool.values import instant_text

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


_of_process: dict[str, str] = {}
_of_task: ContextVar[dict[str, str]] = ContextVar("ids of the task")

MAX_FRAMES = 8
"""Of a traceback, the innermost ones."""


def belongs_to(**ids: str) -> None:
    """Let every line of this process bear these ids from now on, and no others."""
    _of_process.clear()
    _of_process.update(ids)


def about(**ids: str | None) -> None:
    """Let every line of this task, and of those it starts, bear these ids; None takes one off."""
    known = _of_task.get({})
    _of_task.set({name: id_ for name, id_ in {**known, **ids}.items() if id_ is not None})


def _is_extra(name: str) -> bool:
    """Whether a field was given with the event. Ray adds private ones to every record."""
    return name not in _STANDARD and not name.startswith("_")


def _told(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, PoolError | OSError):
        described["message"] = str(error)
    return described


class JsonFormatter(logging.Formatter):
    """``time``, ``level``, ``logger``, ``event``, and the fields given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if _is_extra(name)}
        line = {
            **_of_process,
            **_of_task.get({}),
            **fields,
            "time": instant_text(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "event": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _told(record.exc_info[1])
        return json.dumps(line, default=str)


Sink = Callable[[bytes], None]
"""Where a line goes, its end included. It raises nothing: a log that fails stops nobody."""


class _Lines(logging.Handler):
    """Writes each event as a line to every sink."""

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        super().__init__()
        self._sinks = sinks
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode() + b"\n"
        except Exception:  # noqa: BLE001 - logged as of any handler
            self.handleError(record)
            return
        for sink in self._sinks:
            sink(line)


def to_standard_error(line: bytes) -> None:
    """Whatever that is by now."""
    with suppress(ValueError, OSError):
        sys.stderr.write(line.decode())


def configure(level: str = "info", *sinks: Sink) -> None:
    """Send the logs of this process somewhere: to standard error, unless sinks are named."""
    handler = _Lines(sinks or (to_standard_error,))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def line_of(level: int, logger: str, event: str, **fields: Any) -> str:
    """A single line, for a process that has no log yet."""
    record = logging.LogRecord(logger, level, "", 0, event, None, None)
    vars(record).update(fields)
    return JsonFormatter().format(record)
