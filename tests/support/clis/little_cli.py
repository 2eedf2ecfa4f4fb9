"""Little programs in the place of the CLI, and the runner that starts them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.process.process_run import ProcessRun
from pool.executions.outcome import Failed
from tests.support.suite.waiting import until

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
MODEL = "claude-sonnet-4-5"
ENVIRONMENT = {"PATH": os.environ["PATH"], "CLAUDE_CODE_OAUTH_TOKEN": "test-token-a"}
GRACE = timedelta(seconds=0.3)

INIT = f'{{"type":"system","subtype":"init","session_id":"{SESSION}","model":"{MODEL}"}}'
USED = f'{{"{MODEL}":{{"inputTokens":100,"outputTokens":20,"costUSD":0.0006}}}}'
RESULT = (
    '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"answer",'
    f'"uuid":"u1","total_cost_usd":0.0006,"model_usage_since_last_result":{USED}}}'
)
BEGUN = (
    '{"type":"stream_event","event":{"type":"message_start","message":{"id":"msg_1",'
    f'"model":"{MODEL}","usage":{{"input_tokens":100,"output_tokens":1}}}}}}}}'
)
ANSWERS = f"read line; read line; echo '{INIT}'; echo '{RESULT}'; cat >/dev/null"
STALLS = f"echo '{INIT}'; echo '{BEGUN}'; exec sleep 600"


def found(executable: Path) -> Callable[[], Awaitable[Path]]:
    async def find() -> Path:
        return executable

    return find


def a_launch(run_id: str = "exec_1", **fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": run_id,
            "prompt": "the private prompt",
            "session_id": SESSION,
            "resumes": False,
            "model": MODEL,
            "timeout_seconds": 30,
            **fields,
        }
    )


async def bounded(waiting: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waiting, 20)


async def failure(run: ProcessRun) -> Failed:
    outcome = await bounded(run.outcome())
    assert isinstance(outcome, Failed)
    return outcome


async def begun(run: ProcessRun, word: bytes = b"init") -> int:
    """Wait until the CLI has printed something; its pid."""
    stdout = run.directory.stdout
    await until(lambda: stdout.exists() and word in stdout.read_bytes())
    started = run.directory.started()
    assert started is not None
    return started.cli.pid


def lives(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def ended(run: ProcessRun) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((run.directory.path / "ended").read_bytes())
    return fields
