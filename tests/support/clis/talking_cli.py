"""A CLI that is spoken with, turn after turn in one process, and a process of it with nothing to do
yet: what runs are given that did not start their process.

A prompt says what comes of it: ``stalls`` is never answered, ``floods`` prints 150 kB before the
answer, ``has a late result`` is followed by one that a background task brings about, ``dies at
once`` ends a process that has run something before. Whatever is
no prompt goes to the CLI's stderr.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory, processes_dir
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_runner import ProcessRunner
from pool.claude.process.start import ProcessStarter
from pool.claude.process.supervisor import entries
from pool.executions.process_way import ProcessWay

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
MODEL = "claude-sonnet-4-5"
TURN_NANO_USD = 600_000
BOUND_BYTES = 200_000
GRACE = timedelta(seconds=0.3)

_USED = f'{{"{MODEL}":{{"inputTokens":100,"outputTokens":20,"costUSD":0.0006}}}}'
_INIT = f"""{{"type":"system","subtype":"init","session_id":"'$session'","model":"{MODEL}"}}"""
_RESULT = (
    '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"%s",'
    f'"uuid":"%s","total_cost_usd":0.0006,"model_usage_since_last_result":{_USED}%s}}\\n'
)
_CLEARED = """{"type":"conversation_reset","session_id":"'$before'"}
{"type":"system","subtype":"init","session_id":"'$session'"}
{"type":"result","is_error":false,"num_turns":0,"total_cost_usd":0,"session_id":"'$session'"}"""
_ANSWER = '{"type":"control_response","response":{"request_id":"%s",%s}}\\n'
_SCRIPT = f"""#!/bin/sh
turn=0
session={SESSION}
parked=
here=$(dirname "$0")
for argument; do
    case $argument in
        --session-id=*|--resume=*) session=${{argument#*=}} ;;
        --await-claim) [ -e "$here/has-no-spares" ] && exit 1; parked=yes ;;
    esac
done
while read -r line; do
    case $line in
        *'"type":"user"'*) ;;
        *claim_session*)
            [ -e "$here/dies-as-it-is-claimed" ] && exit 1
            [ -e "$here/hangs-as-it-is-claimed" ] && continue
            if [ -e "$here/refuses" ]; then
                printf '{_ANSWER}' claim '"subtype":"error","error":"'"$(cat "$here/refuses")"'"'
                continue
            fi
            parked=
            told='"status":"ok","session_id":"'$session'"'
            [ -e "$here/claims" ] && told=$(cat "$here/claims")
            printf '{_ANSWER}' claim '"subtype":"success","response":{{'"$told"'}}'
            continue ;;
        *set_model*)
            model=${{line##*'"model":"'}}
            model=${{model%%'"'*}}
            [ -e "$here/sets-another-model" ] && model=another
            printf '{_ANSWER}' model '"subtype":"success","response":{{"model":"'$model'"}}'
            continue ;;
        *apply_flag_settings*|*set_max_thinking_tokens*)
            id=${{line##*'"request_id":"'}}
            id=${{id%%'"'*}}
            [ -e "$here/dies-as-it-is-set" ] && exit 1
            [ -e "$here/hangs-as-it-is-set" ] && continue
            printf '%s\n' "$line" >> "$here/settings"
            outcome=success
            [ -e "$here/refuses-$id" ] && outcome=error
            printf '{_ANSWER}' "$id" '"subtype":"'$outcome'"'
            continue ;;
        *get_usage*) [ -e "$here/usage" ] && cat "$here/usage"; continue ;;
        *) printf '%s\\n' "$line" >&2; continue ;;
    esac
    if [ "$parked" ]; then
        echo '{{"type":"result","is_error":true,"num_turns":0,"uuid":"parked"}}'
        continue
    fi
    case $line in
        *client_composed*) ;;
        *'"text":"/clear"'*)
            before=$session
            [ -e "$here/dies-as-it-is-cleared" ] && exit 1
            [ -e "$here/hangs-as-it-is-cleared" ] && continue
            session=$(cat /proc/sys/kernel/random/uuid)
            turn=0
            if [ -e "$here/clears" ]; then cat "$here/clears"; else echo '{_CLEARED}'; fi
            continue ;;
    esac
    case $line in *"dies at once"*) [ $turn -gt 0 ] && exit 1 ;; esac
    turn=$((turn + 1))
    echo '{_INIT}'
    case $line in
        *stalls*) continue ;;
        *floods*) head -c 150000 /dev/zero | tr '\\0' x; echo ;;
    esac
    printf '{_RESULT}' "answer $turn" "u$turn" ""
    case $line in
        *"has a late result"*)
            sleep 0.2
            printf '{_RESULT}' "Noted." "late$turn" ',"origin":{{"kind":"task-notification"}}' ;;
    esac
done
"""


def talking_cli(folder: Path) -> Path:
    path = folder / "talking-cli"
    path.write_text(_SCRIPT, encoding="utf-8")
    path.chmod(0o700)
    return path


def a_launch(run_id: str = "exec_1", prompt: str = "hello", **fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": run_id,
            "prompt": prompt,
            "session_id": SESSION,
            "resumes": False,
            "model": MODEL,
            "timeout_seconds": 30,
            **fields,
        }
    )


class Talk:
    """One process of the CLI that is kept between turns, and the runner whose it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cli = talking_cli(folder)
        self.runner = self.anew()
        self.process = ProcessDirectory(processes_dir(self.runner._runs_dir) / "spare")

    @property
    def starter(self) -> ProcessStarter:
        return self.runner._starter

    def anew(self) -> ProcessRunner:
        """The runner of another activation."""

        async def find() -> Path:
            return self._cli

        runs, bound = self.folder / "subscription" / "runs", BOUND_BYTES
        return ProcessRunner(find, runs, max_output_bytes=bound, stop_grace=GRACE)

    def start(self, *first: bytes) -> None:
        """Start the process, with what stands in its inbox from the beginning."""
        self.starter.work_dir.mkdir(parents=True, exist_ok=True)
        lock, place = self.process.create(), os.open(self.starter.work_dir, os.O_PATH)
        try:
            self.process.say(b"".join(first))
            environment = {"PATH": os.environ["PATH"]}
            self.starter.supervise(self.process, (str(self._cli),), environment, lock, place)
        finally:
            os.close(lock)
            os.close(place)

    def place(self, run_id: str) -> RunDirectory:
        return RunDirectory(self.runner._runs_dir, run_id)

    def turn(self, launch: Launch) -> bytes:
        return self.starter.turn(launch, is_first=True)

    def give(self, launch: Launch) -> ProcessRun:
        """Have the process run something; the run, as whoever finds it has it."""
        self.place(launch.run_id).give_to(self.process, self.turn(launch), ProcessWay.KEPT)
        found = self.runner.find(launch)
        assert found is not None
        return found

    def kept(self, seconds: float = 20) -> bytes:
        return entries.keep(seconds)
