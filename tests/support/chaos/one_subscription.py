"""One subscription without Ray: the real Subscription, SQLite and ProcessRunner, and a tiny CLI
whose every start leaves a line. What ``tests/chaos`` kills, and what it asks afterwards.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from actors.interfaces.messages import CameLate, NotAdmitted
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import processes_dir
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_runner import ProcessRunner
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.model_settings import ModelSettings
from pool.executions.process_way import ProcessWay
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.tools.client_tools import ClientTool, ToolCall, ToolResult
from pool.money import nano_usd
from pool.storage.ledger.ledger import Ledger
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.values import now_in_utc
from tests.support.pools.local_peers import LonelyPeers
from tests.support.suite.in_full import IS_FULL
from tests.support.values.examples import NOON, SONNET, spec

COST_NANO_USD = nano_usd("0.0006")
"""What each answer of the tiny CLI costs; a run gives one, or as many more as it has rounds."""

ROUNDS = 2
"""How often the tiny CLI calls its caller's tool, where it has one."""

ANSWER_SECONDS = 60.0
"""For a run of the tiny CLI, which takes 0.1 s, on a machine that does ten other things."""

_CLI = f"""#!/bin/sh
rounds=0
for argument; do
    case $argument in
        --session-id=*|--resume=*) session=${{argument#*=}} ;;
        --mcp-config=*) rounds={ROUNDS} ;;
    esac
done
[ "$session" ] || exit 0
spent() {{ printf '{{"{SONNET}":{{"inputTokens":%d,"outputTokens":%d,"costUSD":0.%04d}}}}' \
    $(($1 * 100)) $(($1 * 20)) $(($1 * 6)); }}
asks() {{  # its caller's server, by an id, and waits for the answer
    echo '{{"type":"control_request","request_id":"'$1'","request":{{"subtype":"mcp_message",\
"server_name":"caller","message":{{"jsonrpc":"2.0","id":1,"method":"'$2'","params":'$3'}}}}}}'
    while read -r line; do
    case $line in
        *'"request_id":"'$1'"'*) echo "$1" >> "$CHAOS_GIVEN"; return ;;
        *'"request_id":"call-'*) echo again >> "$CHAOS_GIVEN" ;;
        *get_usage*)
            id=${{line#*'"request_id": "'}}
            echo '{{"type":"control_response","response":{{"subtype":"success",\
"request_id":"'${{id%%'"'*}}'","response":{{"session":{{"model_usage":\
'$(spent $answers)'}}}}}}}}' ;;
    esac
    done
    exit 1
}}
while read -r line; do
case $line in
    *'"text":"/clear"'*)
        echo '{{"type":"conversation_reset","session_id":"'$session'"}}'
        session=$(cat /proc/sys/kernel/random/uuid)
        echo '{{"type":"system","subtype":"init","session_id":"'$session'"}}'
        echo '{{"type":"result","is_error":false,"num_turns":0,"session_id":"'$session'",\
"total_cost_usd":0,"model_usage_since_last_result":{{}}}}'
        continue ;;
    *'"type":"user"'*) ;;
    *claim_session*)
        echo '{{"type":"control_response","response":{{"subtype":"success","request_id":"claim",\
"response":{{"status":"ok","session_id":"'$session'"}}}}}}'
        continue ;;
    *apply_flag_settings*|*set_max_thinking_tokens*)
        id=${{line##*'"request_id":"'}}
        echo '{{"type":"control_response","response":{{"subtype":"success",\
"request_id":"'${{id%%'"'*}}'"}}}}'
        continue ;;
    *'"request_id":"call-'*)
        echo again >> "$CHAOS_GIVEN"
        continue ;;
    *) continue ;;
esac
run=${{line##*question }}
run=${{run%%[!0-9]*}}
echo "$run" >> "$CHAOS_STARTS"
echo '{{"type":"system","subtype":"init","session_id":"'$session'","model":"{SONNET}"}}'
while [ "$run" != 0 ] && [ ! -e "$CHAOS_GATE" ]; do sleep 0.02; done
answers=1
[ $rounds = 0 ] || asks "list-$run" tools/list '{{}}'
while [ $answers -le $rounds ]; do
    call=$run-$((answers - 1))
    echo '{{"type":"assistant","parent_tool_use_id":null,"message":{{"id":"msg_'$call'",\
"model":"{SONNET}","stop_reason":"tool_use","usage":{{"input_tokens":100,"output_tokens":20}},\
"content":[{{"type":"tool_use","id":"toolu_'$call'","name":"mcp__caller__look","input":{{}}}}]}}}}'
    asks "call-$call" tools/call '{{"name":"look","arguments":{{}},\
"_meta":{{"claudecode/toolUseId":"toolu_'$call'"}}}}'
    answers=$((answers + 1))
done
echo '{{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"answer",\
"uuid":"'$run'","session_id":"'$session'","total_cost_usd":'$(printf 0.%04d $((answers * 6)))',\
"model_usage_since_last_result":'$(spent $answers)'}}'
[ "$run" = 0 ] || [ ! -e "$CHAOS_LATE" ] || sleep 0.1
[ "$run" = 0 ] || [ ! -e "$CHAOS_LATE" ] || echo '{{"type":"result","is_error":false,\
"num_turns":1,\
"uuid":"late-'$run'","origin":{{"kind":"task-notification"}},"model_usage_since_last_result":\
{{"{SONNET}":{{"inputTokens":100,"outputTokens":20,"costUSD":0.0006}}}}}}'
done
"""

FIRST = 0
"""The execution that begins the session of all others, where their process is kept."""


def full(short: int, many: int) -> int:
    """A number of repetitions: a few in ``make test``, many in ``make chaos``."""
    return many if IS_FULL else short


def execution_id(number: int) -> str:
    return f"exec_{number:028d}"


def session_id(number: int) -> str:
    return f"634fbb1e-4256-459f-9794-{number:012d}"


def intent(
    number: int, *, is_turn: bool = False, calls_tools: bool = False, **changes: Any
) -> Intent:
    """What a router would send for the execution of this number, every time the same; as a turn of
    the first one's session, or of a session of its own. All but the first bring settings, which a
    process that is there has to be given.
    """
    if is_turn:
        changes |= {"session_id": session_id(FIRST), "resumes": number != FIRST}
    fields = {
        "execution_id": execution_id(number),
        "request": ExecutionRequest(
            prompt=f"question {number}",
            model_settings=ModelSettings(max_tokens=number or None),
            client_tools=(ClientTool(name="look"),) if calls_tools else (),
        ),
        "session_id": session_id(number),
        "resumes": False,
        "model": SONNET,
        "timeout_seconds": 60,
        "reserved_nano_usd": 0,
        "routing": Routing(score=1, reason="the only one"),
        "created_at": NOON,
    }
    return Intent.model_validate(fields | changes)


class Home:
    """Where a subscription lives on disk, and what the tiny CLI left there."""

    def __init__(self, folder: Path, way: str = ProcessWay.COLD) -> None:
        self.folder = folder
        self.way = ProcessWay(way)
        """How executions come by their process: the first one's is kept for all others, or cleared
        for them, or one is started ahead of them."""
        self.runs = folder / "subscription" / "runs"
        self.gate = folder / "gate"
        self.late = folder / "late"
        """Where it is there, each run of the tiny CLI costs as much again after its answer."""
        self.said = folder / "said"
        self._starts = folder / "starts"
        self._given = folder / "given"
        self._cli = folder / "tiny-cli"

    def prepare(self, *, gate_is_open: bool = True) -> Home:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "claude").mkdir(exist_ok=True)
        self._cli.write_text(_CLI, encoding="utf-8")
        self._cli.chmod(0o700)
        self._starts.touch()
        self._given.touch()
        self.said.touch()
        if gate_is_open:
            self.gate.touch()
        return self

    @classmethod
    @contextmanager
    def prepared(
        cls, folder: Path, way: str = ProcessWay.COLD, *, gate_is_open: bool = True
    ) -> Iterator[Home]:
        """A home that is cleared in the end, whatever happens in it."""
        home = cls(folder, way).prepare(gate_is_open=gate_is_open)
        try:
            yield home
        finally:
            home.clear()

    async def cli(self) -> Path:
        return self._cli

    @property
    def stores(self) -> SqliteStores:
        return SqliteStores(self.folder)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "CHAOS_STARTS": str(self._starts),
            "CHAOS_GIVEN": str(self._given),
            "CHAOS_GATE": str(self.gate),
            "CHAOS_LATE": str(self.late),
            "CLAUDE_CONFIG_DIR": str(self.folder / "claude"),
        }

    def runner(self, make: type[ProcessRunner] = ProcessRunner) -> ProcessRunner:
        ways = {
            "seconds": 60 if self.before else 0,
            "reuses": self.way is ProcessWay.REUSED,
            "spares": int(self.way is ProcessWay.AHEAD),
        }
        keeping = Keeping(places=self.folder / "places", most=4, **ways)
        return make(self.cli, self.runs, stop_grace=timedelta(seconds=0.5), keeping=keeping)

    @property
    def keeps(self) -> bool:
        return self.way is ProcessWay.KEPT

    @property
    def before(self) -> list[int]:
        """Executions that have to come before all others."""
        return [FIRST] if self.way in {ProcessWay.KEPT, ProcessWay.REUSED} else []

    def starts(self) -> Counter[str]:
        """How often the CLI was given each execution, by its number."""
        return Counter(self._starts.read_text(encoding="utf-8").split())

    def given(self) -> Counter[str]:
        """How often the CLI was given what it asked its caller's server for, by its ids."""
        return Counter(self._given.read_text(encoding="utf-8").split())

    def told(self) -> list[list[str]]:
        """What callers were told, by any process, in its order; each as words."""
        return [line.split() for line in self.said.read_text(encoding="utf-8").splitlines()]

    def run_directories(self) -> list[str]:
        """Of runs that nobody has looked after; what is kept for who reads along is."""
        left = {path.name for path in self.runs.glob("*") if not (path / "kept").exists()}
        processes = map(ProcessDirectory, processes_dir(self.runs).glob("*"))
        needed = {each.path.name: each.serves() for each in processes}
        return sorted(left | {name for name, runs in needed.items() if not runs or runs & left})

    def processes(self) -> set[int]:
        """What runs for this subscription: CLIs, their supervisors and their children."""
        return {pid for pid in _pids() if pid != os.getpid() and self._is_ours(pid)}

    def _is_ours(self, pid: int) -> bool:
        try:
            where = Path(f"/proc/{pid}/cwd").readlink()
            what = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return (
            where.is_relative_to(self.folder) or os.fsencode(self.folder / "subscription") in what
        )

    def clear(self) -> None:
        """End what still runs here, and remove everything."""
        self.gate.touch()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self.folder, ignore_errors=True)


async def activated(
    home: Home, ledger: Ledger, runner: ProcessRunner, **settings: object
) -> Subscription:
    around = Dependencies(
        runner=runner,
        environment=lambda _: home.environment(),
        clock=now_in_utc,
        actors=LonelyPeers(),
        leave=lambda _: os._exit(3),
        policy=SubscriptionPolicy(),
        system_prompt="You are terse.",
        retention=timedelta(days=3650),
    )
    return await Subscription.activate(spec("sub1", **settings), ledger, around)


async def ask(
    subscription: Subscription,
    number: int,
    told: Callable[..., None] = lambda *_: None,
    *,
    is_turn: bool = False,
) -> Execution:
    """What a caller does who does not give up: start, wait, and wait again by id."""
    answer = await subscription.start(intent(number, is_turn=is_turn))
    if isinstance(answer, NotAdmitted):
        raise TypeError(answer.refusal.detail)
    told("admitted", number, answer.execution.status.value)
    execution, deadline = answer.execution, time.monotonic() + ANSWER_SECONDS
    while not execution.status.is_final:
        if time.monotonic() > deadline:
            raise TimeoutError(f"execution {number} did not end")
        execution = await subscription.result(execution.id)
    return execution


async def ask_and_answer(
    subscription: Subscription, number: int, told: Callable[..., None] = lambda *_: None
) -> Execution | CameLate:
    """What a caller does whose tools are called: it sends a result for each call, and again after a
    failure. What to do with them, where they came late.
    """
    answer = await subscription.start(intent(number, calls_tools=True))
    if isinstance(answer, NotAdmitted):
        raise TypeError(answer.refusal.detail)
    told("admitted", number, answer.execution.status.value)
    execution, deadline = answer.execution, time.monotonic() + ANSWER_SECONDS
    shown: set[int] = set()
    while True:
        made = execution.rounds[-1] if execution.rounds else None
        if made is not None and made.tool_calls and made.number not in shown:
            shown.add(made.number)
            told("called", number, made.number)
            gone_on = await subscription.tool_results(execution.id, results_of(made.tool_calls))
            if isinstance(gone_on, CameLate):
                return gone_on
            told("taken", number, made.number)
            execution = gone_on
        elif execution.status.is_final:
            return execution
        elif time.monotonic() > deadline:
            raise TimeoutError(f"execution {number} did not end")
        else:
            execution = await subscription.result(execution.id)


def results_of(calls: Iterable[ToolCall]) -> tuple[ToolResult, ...]:
    found = ({"tool_use_id": call.id, "content": f"of {call.id}"} for call in calls)
    return tuple(map(ToolResult.model_validate, found))


async def eventually(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for what no event tells: other processes and their files."""
    import asyncio

    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("what was awaited did not come")
        await asyncio.sleep(0.01)
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("what was awaited did not come")
        time.sleep(0.01)
    return found


def _pids() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
