"""A CLI that answers at once, after ``[[nap SECONDS]]`` or ``[[until NAME]]``, and asks nobody: for
trips that are about what is around it. It notes beside itself what it was asked, and when it was
at work, and keeps transcripts where the real one does: without one it goes on with no session.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.values.examples import SONNET

SLOW = "[[slow]]"
_SCRIPT = f"""#!/bin/sh
case "$1" in --version) echo "2.1.330 (Claude Code)"; exit 0;; esac
for argument; do
    case $argument in --session-id=*|--resume=*) session=${{argument#*=}} ;; esac
done
read -r opening
read -r prompt || exit 0  # asked to stop before it was given one
printf '%s\\n' "$prompt" >> "$0.prompts"
kept=$CLAUDE_CONFIG_DIR/projects/stub
[ -d "$kept" ] || mkdir -p "$kept"
case " $* " in *" --resume=$session "*) [ -e "$kept/$session.jsonl" ] || exit 1 ;; esac
printf '%s\\n' "$prompt" >> "$kept/$session.jsonl"
read -r host < /proc/sys/kernel/hostname
turn="$CLAUDE_CODE_OAUTH_TOKEN $host"
echo "begin $turn" >> "$0.turns"
echo '{{"type":"system","subtype":"init","session_id":"'$session'","model":"{SONNET}"}}'
case $prompt in
    *"[[nap "*) nap=${{prompt#*"[[nap "}}; sleep "${{nap%%"]]"*}}" ;;
    *"[[until "*)
        name=${{prompt#*"[[until "}}; name=$0.${{name%%"]]"*}}
        while [ ! -e "$name" ]; do sleep 0.05; done ;;
    *"{SLOW}"*)
        trap 'exit 143' INT TERM
        while read -r said; do
            case $said in *'"interrupt"'*)
                echo '{{"type":"result","subtype":"error_during_execution","is_error":true,\
"num_turns":0,"session_id":"'$session'","model_usage_since_last_result":{{}}}}'
                exit 0 ;;
            esac
        done
        while :; do sleep 0.05; done ;;
esac
echo "end $turn" >> "$0.turns"
echo '{{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"answer",\
"session_id":"'$session'","total_cost_usd":0.0006,"model_usage_since_last_result":\
{{"{SONNET}":{{"inputTokens":100,"outputTokens":20,"costUSD":0.0006}}}}}}'
cat > /dev/null
"""


def stub_cli(folder: Path) -> Path:
    path = folder / "claude"
    path.write_text(_SCRIPT, encoding="utf-8")
    path.chmod(0o700)
    return path


def release(cli: Path, name: str) -> None:
    """Have those of a stub answer that wait for a name."""
    cli.with_name(f"{cli.name}.{name}").touch()


def runs_of(cli: Path, prompt: str) -> int:
    """How often a stub was given a prompt, which is one that no other holds."""
    noted = cli.with_name(f"{cli.name}.prompts")
    return noted.read_text(encoding="utf-8").count(prompt) if noted.exists() else 0


def transcript(claude_dir: Path, session_id: str) -> str:
    """What stubs have kept of a session below a directory; empty where they have not."""
    kept = claude_dir / "projects" / "stub" / f"{session_id}.jsonl"
    return kept.read_text(encoding="utf-8") if kept.exists() else ""


def turns_of(cli: Path) -> list[tuple[bool, str, str]]:
    """Begin (true) and end of each turn of a stub, in the order of time, with its token and host.
    An end is noted before the answer is printed.
    """
    noted = cli.with_name(f"{cli.name}.turns")
    lines = noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []
    words = [line.split() for line in lines]
    return [(what == "begin", token, host) for what, token, host in words]


def note_deaths(cli: Path, host: str) -> None:
    """Note the end of each turn that was under way on a host which has died."""
    open_turns: Counter[str] = Counter()
    for is_begin, token, at in turns_of(cli):
        open_turns[token] += (1 if is_begin else -1) if at == host else 0
    with cli.with_name(f"{cli.name}.turns").open("a", encoding="utf-8") as noted:
        noted.writelines(f"end {token} {host}\n" for token in open_turns.elements())
