"""Messages about failures for callers: the pool's own sentence, and one masked line of stderr.

The CLI's texts may quote what it was given, so they are not shown, but for the name of a field and
a count of tokens that stand in them. Of stderr, the first line with words is shown, at most 300
characters long, with everything masked that looks like a credential.
"""

from __future__ import annotations

import re
import signal
from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.executions.outcome import FailureKind

MAX_CHARACTERS = 300

_SENTENCES = {
    FailureKind.USAGE_LIMIT: "the subscription has reached its usage limit",
    FailureKind.RATE_LIMITED: "the API limits the rate of requests; no window is used up",
    FailureKind.OVERLOADED: "the API is overloaded",
    FailureKind.SERVER_ERROR: "the API failed",
    FailureKind.CONNECTION: "the connection to the API failed",
    FailureKind.AUTHENTICATION: "the subscription is not logged in, or its credential is refused",
    FailureKind.ACCESS_DENIED: "the login is valid, but the account may not do this",
    FailureKind.ACCOUNT_DISABLED: "Anthropic has disabled the account or its organization",
    FailureKind.SPEND_LIMIT: "the account has reached a spending limit that was set for it",
    FailureKind.NOT_ENTITLED: "the account may not use this variant of the model",
    FailureKind.CREDIT_EXHAUSTED: "the account's credit balance is too low",
    FailureKind.MODEL_NOT_FOUND: "the model does not exist, or the subscription may not use it",
    FailureKind.INVALID_REQUEST: "the API refused the request",
    FailureKind.CONTEXT_FULL: "prompt and history are too long for the model's context: shorten "
    "them, or begin a new session",
    FailureKind.ANSWER_TOO_LONG: "the answer is longer than the model may write: ask for "
    "a shorter one, or in parts",
    FailureKind.EMPTY_ANSWER: "the model was billed for and gave no answer",
    FailureKind.SCHEMA_MISMATCH: "the model gave nothing that fits the JSON schema",
    FailureKind.REFUSAL: "the model declined to answer",
    FailureKind.MAX_TURNS: "the run reached its limit of turns",
    FailureKind.MAX_BUDGET: "the run went over its budget; the answer is lost",
    FailureKind.SESSION_NOT_FOUND: "the session's transcript is not there any more",
    FailureKind.TIMEOUT: "the run was ended at its deadline",
    FailureKind.OUTPUT_LIMIT: "the run was ended because it printed too much",
    FailureKind.INTERRUPTED: "the run was stopped",
    FailureKind.KILLED: "the Claude CLI was killed",
    FailureKind.NOT_STARTED: "the Claude CLI could not be started",
    FailureKind.STARTUP_FAILED: "the Claude CLI could not start up",
    FailureKind.CLI_USAGE: "the Claude CLI refused its command line or input",
    FailureKind.NO_RESULT: "the Claude CLI ended without a result",
    FailureKind.EXECUTION_ERROR: "the Claude CLI ended the run with an error that has no name here",
}
_STARTUP_FAILURES = {
    "config_file_invalid": "its .claude.json is no valid JSON: mend it, or move it aside",
    "temp_dir_unusable": "it cannot use its temporary directory: see TMPDIR",
    "cwd_unavailable": "its working directory cannot be used",
    "proxy_invalid": "a proxy setting cannot be used: see HTTPS_PROXY",
    "cli_version_too_old": "its organization asks for a newer release of it: update it",
    "org_verify_failed": "the organization of its sign-in could not be verified",
    "org_pin_mismatch": "its sign-in belongs to another organization than its settings allow",
}
_FIELD = re.compile(
    r"(?:^|[\s\"])((?:messages|system|tools|tool_choice|max_tokens|temperature|top_[pk]|thinking|"
    r"stop_sequences|output_config|output_format|metadata|model)"
    r"(?:\.(?:\d+|content|text|type|source|image|document|base64|media_type|data|tool_use|"
    r"tool_result|tool_use_id|input_schema|custom|name|description|budget_tokens|schema))*): "
)
"""A field at which the API refused a request, in the API's own words alone."""
_SIZES = re.compile(r"\d+ tokens > \d+ maximum|~\d+ tokens \(limit \d+\)")
_MASKED = re.compile(
    r"(?P<kept>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"  # a session's id, and no secret
    r"|sk-[\w-]{4,}"
    r"|\bBearer\s+\S+"
    r"|\b[\w-]*(?:token|key|secret|password|authorization)[\w-]*[\"']?\s*[=:]\s*\S+"
    r"|[\w+=~-]{24,}",
    re.IGNORECASE,
)


def result_message(kind: FailureKind, result: dict[str, Any], launch: Launch) -> str:
    """A sentence about an error result, with the status where the API gave one."""
    match kind:
        case FailureKind.MAX_TURNS if launch.max_turns is not None:
            detail = str(launch.max_turns)
        case FailureKind.MAX_BUDGET if launch.max_budget_usd is not None:
            detail = f"{launch.max_budget_usd} USD"
        case FailureKind.MODEL_NOT_FOUND:
            detail = launch.model
        case FailureKind.SESSION_NOT_FOUND:
            detail = launch.forks or launch.session_id
        case FailureKind.STARTUP_FAILED:
            detail = _STARTUP_FAILURES.get(_words(result)) or _words(result)
        case FailureKind.INVALID_REQUEST:
            detail = " at ".join((_words(result), *_FIELD.findall(_text(result))[:1]))
        case FailureKind.CONTEXT_FULL:
            detail = ", ".join((_words(result), *_SIZES.findall(_text(result))[:1]))
        case _:
            detail = _words(result)
    return f"{_SENTENCES[kind]} ({detail})" if detail else _SENTENCES[kind]


def ending_message(kind: FailureKind, *, detail: str = "", stderr: str = "") -> str:
    """A sentence about a run without a result, with one masked line of stderr if there is one."""
    sentence = f"{_SENTENCES[kind]} ({detail})" if detail else _SENTENCES[kind]
    line = first_line(stderr)
    return f"{sentence}: {line}" if line else sentence


def first_line(stderr: str) -> str:
    """The first line with words, bounded, with credentials masked."""
    line = next((line.strip() for line in stderr.splitlines() if line.strip()), "")
    # Masked before it is cut, or the rest of a token would no longer look like one.
    line = _MASKED.sub(lambda found: found["kept"] or "***", line[:4096])
    line = "".join(c if c.isprintable() else " " for c in line)
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _words(result: dict[str, Any]) -> str:
    """What the CLI calls it. ``success`` is what it calls every error of the API."""
    known = (result.get("startup_failure_reason"),)
    api = (result.get("api_error_status"), result.get("api_error_type") or result.get("api_error"))
    own = (result.get("terminal_reason") or result.get("subtype"),)
    words = next((each for each in (known, api, own) if any(each)), ())
    return " ".join(_word(word) for word in words if word and word != "success")


def _text(result: dict[str, Any]) -> str:
    text = result.get("result")
    return text if isinstance(text, str) else ""


def _word(word: Any) -> str:
    """A word of the CLI's vocabulary; anything longer is none."""
    text = str(word)
    return text if re.fullmatch(r"\w{1,40}", text) else ""
