"""A CLI that does what markers in its prompt say, by their words for the stand-in of the API
(``[[standin text=Hello]]``), and asks nobody. For whom the CLI is behind what is looked at:
``tests/clients_real`` has both of them answer the same.

It streams texts, keeps to a schema, and calls tools of its caller's: in steps, several at once, or
the one that the API would be told to have called. A session goes on only where its transcript is.
As a program it imports little, for it is started for each request.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

MODEL = "claude-sonnet-4-5"
SERVER, PREFIX = "caller", "mcp__caller__"
COST_USD = 0.0006
_MARKER = re.compile(r"\[\[standin\s+(.*?)\]\]", re.DOTALL)
_REST = re.compile(r"\b(text|input)=(.*)$", re.DOTALL)
_END = {"type": "content_block_stop", "index": 0}


def marked_cli(folder: Path) -> Path:
    """The program in a folder, as a file that can be started."""
    path = folder / "claude-marked"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -ISE {__file__} "$@"\n', encoding="utf-8")
    path.chmod(0o700)
    return path


def marked(prompt: str) -> dict[str, str]:
    """What the markers ask for: a word is the ``kind``, the others have a name."""
    found: dict[str, str] = {}
    for marker in _MARKER.findall(prompt):
        rest = _REST.search(marker)
        if rest is not None:
            found[rest[1]] = rest[2]
        for word in marker[: rest.start() if rest else None].split():
            name, equals, value = word.partition("=")
            found |= {name: value} if equals else {"kind": word}
    return found


class Cli:
    """One run, from the command line to its result."""

    def __init__(self, argv: list[str]) -> None:
        named = dict(each.partition("=")[::2] for each in argv)
        self._session = named.get("--resume") or named.get("--session-id") or ""
        if "--resume" in named and not self._has_transcript():
            sys.exit(f"No conversation found with session ID: {self._session}")
        self._has_tools = "--mcp-config" in named
        self._schema: dict[str, Any] | None = None
        self._messages = 0
        self._asked = 0

    def run(self) -> None:
        prompt = self._prompt()
        wanted = marked(prompt)
        self._print({"type": "system", "subtype": "init", "model": MODEL})
        tools = self._tools() if self._has_tools else []
        given = json.loads(wanted.get("input", "{}"))
        for name, count in self._calls(wanted, tools):
            self._call([(name, given)] * count)
        text = wanted.get("text", "answer")
        if self._schema is not None:
            self._result(json.dumps(given), structured_output=given)
        else:
            self._say(text, float(wanted.get("seconds", 0)), int(wanted.get("chunks", 2)))
            self._result(text)
        for _ in sys.stdin:
            pass  # until nobody has anything more to say

    def _calls(self, wanted: dict[str, str], tools: list[str]) -> Iterator[tuple[str, int]]:
        """The tools to call, and how often at once: a step each."""
        body = json.loads(os.environ.get("CLAUDE_CODE_EXTRA_BODY") or "{}")
        choice = body.get("tool_choice", {})
        if wanted.get("kind") == "tool":
            for _ in range(int(wanted.get("steps", 1))):
                yield wanted["name"].removeprefix(PREFIX), int(wanted.get("at_once", 1))
        elif choice.get("type") in {"tool", "any"}:
            yield choice.get("name", PREFIX + tools[0]).removeprefix(PREFIX), 1

    def _has_transcript(self) -> bool:
        kept = os.path.join(os.environ["CLAUDE_CONFIG_DIR"], "projects")  # noqa: PTH118
        return any(f"{self._session}.jsonl" in files for _, _, files in os.walk(kept))

    def _prompt(self) -> str:
        for line in sys.stdin:
            said = json.loads(line)
            self._schema = said.get("request", {}).get("jsonSchema", self._schema)
            if said["type"] == "user":
                content = said["message"]["content"]
                return "".join(part.get("text", "") for part in content)
        sys.exit(0)

    def _tools(self) -> list[str]:
        self._ask("tools/list", {})
        (answer,) = self._answers(1)
        return [tool["name"] for tool in answer["mcp_response"]["result"]["tools"]]

    def _call(self, calls: list[tuple[str, Any]]) -> None:
        """Make calls at once, as one message, and wait for what comes of them."""
        id_ = self._begin()
        made = []
        for index, (name, given) in enumerate(calls):
            block = {"type": "tool_use", "id": f"toolu_{id_}_{index}", "name": PREFIX + name}
            self._event({"type": "content_block_start", "index": index}, content_block=block)
            delta = {"type": "input_json_delta", "partial_json": json.dumps(given)}
            self._event({"type": "content_block_delta", "index": index}, delta=delta)
            made.append({**block, "input": given})
            self._whole(id_, made[-1])
            self._event({**_END, "index": index})
        self._complete("tool_use")
        for block, (name, given) in zip(made, calls, strict=True):
            about = {"claudecode/toolUseId": block["id"]}
            self._ask("tools/call", {"name": name, "arguments": given, "_meta": about})
        for _ in self._answers(len(calls)):
            pass

    def _say(self, text: str, seconds: float, chunks: int) -> None:
        id_ = self._begin()
        self._event({"type": "content_block_start", "index": 0}, content_block={"type": "text"})
        size = -(-len(text) // chunks) or 1
        for start in range(0, len(text), size):
            time.sleep(seconds / chunks)
            delta = {"type": "text_delta", "text": text[start : start + size]}
            self._event({"type": "content_block_delta", "index": 0}, delta=delta)
        self._whole(id_, {"type": "text", "text": text})
        self._event(_END)
        self._complete("end_turn")

    def _begin(self) -> str:
        self._messages += 1
        id_ = f"msg_{self._session}_{self._messages}"
        usage = {"input_tokens": 100, "output_tokens": 1}
        self._event({"type": "message_start"}, message={"id": id_, "model": MODEL, "usage": usage})
        return id_

    def _whole(self, id_: str, block: dict[str, Any]) -> None:
        usage = {"input_tokens": 100, "output_tokens": 1}
        message = {"id": id_, "role": "assistant", "model": MODEL, "stop_reason": None}
        self._print(
            {"type": "assistant", "message": {**message, "content": [block], "usage": usage}}
        )

    def _complete(self, why: str) -> None:
        usage = {"input_tokens": 100, "output_tokens": 20}
        self._event({"type": "message_delta"}, delta={"stop_reason": why}, usage=usage)
        self._event({"type": "message_stop"})

    def _result(self, text: str, **more: Any) -> None:
        used = self._used()
        self._print(
            {
                "type": "result",
                "subtype": "success",
                "is_error": False,
                "num_turns": 1,
                "result": text,
                "stop_reason": "end_turn",
                "uuid": f"of-{self._session}-{self._messages}",
                "total_cost_usd": used[MODEL]["costUSD"],
                "model_usage_since_last_result": used,
                **more,
            }
        )

    def _used(self) -> dict[str, Any]:
        answers = self._messages or 1
        used = {"inputTokens": 100 * answers, "outputTokens": 20 * answers}
        return {MODEL: {**used, "costUSD": round(COST_USD * answers, 4)}}

    def _ask(self, method: str, params: dict[str, Any]) -> None:
        """Ask the server of its caller's tools."""
        self._asked += 1
        message = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}
        request = {"subtype": "mcp_message", "server_name": SERVER, "message": message}
        self._print(
            {"type": "control_request", "request_id": f"ask-{self._asked}", "request": request}
        )

    def _answers(self, count: int) -> Iterator[dict[str, Any]]:
        """What that has said to so many questions. Meanwhile it tells what it has spent."""
        while count:
            line = sys.stdin.readline()
            if not line:
                sys.exit(1)
            said = json.loads(line)
            if said["type"] == "control_response":
                count -= 1
                yield said["response"]["response"]
            elif said.get("request", {}).get("subtype") == "get_usage":
                told = {"session": {"model_usage": self._used()}}
                response = {"subtype": "success", "request_id": said["request_id"]}
                self._print(
                    {"type": "control_response", "response": {**response, "response": told}}
                )
            elif said.get("request", {}).get("subtype") == "interrupt":
                sys.exit(0)

    def _event(self, event: dict[str, Any], **more: Any) -> None:
        self._print({"type": "stream_event", "event": {**event, **more}})

    def _print(self, message: dict[str, Any]) -> None:
        whole = {"session_id": self._session, "parent_tool_use_id": None, **message}
        sys.stdout.write(json.dumps(whole) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Cli(sys.argv[1:]).run()
