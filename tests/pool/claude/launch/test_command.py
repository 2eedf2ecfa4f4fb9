from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pool.claude.binary.version import MINIMUM, CliVersion, refusal
from pool.claude.launch.command import (
    argv,
    can_be_claimed,
    files,
    input_lines,
    opening_line,
    prompt_line,
)
from pool.claude.launch.launch_spec import Launch
from pool.executions.content.turn import Turn
from pool.executions.tools.permissions import AgentSettings
from pool.executions.tools.sub_agents import SubAgent

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
CLAUDE = Path("/opt/claude")
RUN = Path("/data/runs/exec_1")


def a_launch(**fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": "exec_1",
            "prompt": "a private prompt",
            "session_id": SESSION,
            "resumes": False,
            "model": "claude-sonnet-4-5",
            "timeout_seconds": 600,
            **fields,
        }
    )


def test_the_command_line_is_the_one_that_was_tried() -> None:
    closed = (
        '{"permissions":{"deny":["Read","Bash","Edit","Write","WebFetch","WebSearch","Agent",'
        '"Task","Skill"]},"disableAllHooks":true,"cleanupPeriodDays":3651}'
    )
    assert argv(a_launch(), CLAUDE, RUN) == (
        "/opt/claude",
        "-p",
        "--verbose",
        "--include-partial-messages",
        "--output-format=stream-json",
        "--input-format=stream-json",
        "--model=claude-sonnet-4-5",
        "--strict-mcp-config",
        "--setting-sources=",
        "--restricted",
        "--permission-prompts=none",
        "--disable-slash-commands",
        "--tools=",
        f"--settings={closed}",
        "--permission-mode=dontAsk",
        f"--session-id={SESSION}",
    )


def test_what_a_launch_asks_for_is_joined_to_its_flag() -> None:
    launch = a_launch(max_turns=3, max_budget_usd="0.50")

    assert argv(launch, CLAUDE, RUN)[-2:] == ("--max-turns=3", "--max-budget-usd=0.50")


def test_a_value_that_begins_with_a_dash_cannot_become_a_flag() -> None:
    command = argv(a_launch(model="--dangerously-skip-permissions"), CLAUDE, RUN)

    assert "--dangerously-skip-permissions" not in command


def test_a_resumed_session_is_named_and_keeps_its_system_prompt_unless_given_another() -> None:
    plain = argv(a_launch(resumes=True), CLAUDE, RUN)
    changed = argv(a_launch(resumes=True, system_prompt="new"), CLAUDE, RUN)

    assert plain[-1] == f"--resume={SESSION}"
    assert changed[-1] == "--system-prompt-snapshot=off"


@pytest.mark.parametrize("tool", ["Agent", "Task"])
def test_sub_agents_have_the_models_that_the_request_names_and_no_others(tool: str) -> None:
    agents = {"x": SubAgent(description="d", prompt="p", model="opus")}
    launch = a_launch(tools=(tool,), agent=AgentSettings(sub_agents=agents))

    (settings,) = [each for each in argv(launch, CLAUDE, RUN) if each.startswith("--settings=")]

    found = json.loads(settings.removeprefix("--settings="))
    assert found["availableModels"] == ["claude-sonnet-4-5", "opus"]


def test_what_the_cli_reads_of_a_sub_agent_is_what_was_said_and_nothing_else() -> None:
    agents = {"x": SubAgent(description="d", prompt="p", tools=("Read",))}

    written = files(a_launch(agent=AgentSettings(sub_agents=agents)))

    said = {"x": {"description": "d", "prompt": "p", "tools": ["Read"]}}
    assert json.loads(written["agents.json"]) == said


def test_nothing_private_is_on_the_command_line() -> None:
    agents = {"x": SubAgent(description="a private one", prompt="a private prompt")}
    launch = a_launch(
        system_prompt="a private system prompt",
        json_schema={"type": "object", "description": "a private schema"},
        tools=("Agent",),
        agent=AgentSettings(
            append_system_prompt="a private word",
            sub_agents=agents,
            mcp_servers={"x": {"command": "a private command"}},
        ),
    )

    assert "private" not in " ".join(argv(launch, CLAUDE, RUN))


@pytest.mark.parametrize("prompt", ["-v", "/clear", "a\nb\u2028c", '"}\n{"type":"x"}', "é" * 1000])
def test_the_prompt_is_one_line_and_comes_back_as_it_was(prompt: str) -> None:
    line = prompt_line(a_launch(prompt=prompt))

    message = json.loads(line)
    assert line.count(b"\n") == 1
    assert message["client_composed"] is True
    assert message["message"]["content"] == [{"type": "text", "text": prompt}]


def test_the_prompt_of_the_same_run_is_the_same_line_and_of_another_run_another() -> None:
    assert prompt_line(a_launch()) == prompt_line(a_launch())
    assert prompt_line(a_launch()) != prompt_line(a_launch(run_id="exec_2"))


def test_the_system_prompt_goes_first() -> None:
    launch = a_launch(system_prompt="be terse")

    assert input_lines(launch) == opening_line(launch) + prompt_line(launch)
    assert json.loads(opening_line(launch))["request"]["systemPrompt"] == "be terse"


def test_the_schema_of_the_answer_goes_with_it() -> None:
    line = opening_line(a_launch(json_schema={"type": "object", "$schema": "of-a-draft"}))

    assert json.loads(line)["request"]["jsonSchema"] == {"type": "object"}


def test_a_version_is_read_from_what_the_cli_prints() -> None:
    assert CliVersion.parse("2.1.330 (Claude Code)\n") == CliVersion(2, 1, 330)
    assert str(CliVersion(2, 1, 330)) == "2.1.330"


@pytest.mark.parametrize("text", ["", "Claude", "2.1", "error: 2.1.330"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no version"):
        CliVersion.parse(text)


def test_a_version_that_is_too_old_is_refused_with_the_reason_and_the_remedy() -> None:
    reason = refusal(CliVersion(2, 1, 197)) or ""

    assert "2.1.197 is too old" in reason
    assert "claude.path" in reason
    assert refusal(MINIMUM) is None
    assert refusal(CliVersion(2, 2, 0)) is None


def test_a_conversation_is_gone_on_with_and_its_last_turn_is_the_prompt() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "words"}
    document = {"type": "document", "source": source}
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "three"}, document]},
    ]
    launch = a_launch(prompt="", messages=[Turn.model_validate(each) for each in said])

    message = json.loads(prompt_line(launch))["message"]

    assert f"--resume={launch.session_id}" in argv(launch, CLAUDE, RUN)
    assert message["content"] == said[-1]["content"]
    assert not can_be_claimed(launch)
