from __future__ import annotations

import pytest
from pydantic import ValidationError

from pool.executions.tools.permissions import AgentSettings, Grant, not_granted
from pool.executions.tools.sub_agents import SubAgent
from pool.values import KEPT

BAKER = {"description": "bakes", "prompt": "You bake."}


@pytest.mark.parametrize("field", ["mcpServers", "hooks", "permissionMode", "skills", "memory"])
def test_a_field_of_the_cli_that_is_not_taken_is_refused_by_its_name(field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        AgentSettings.model_validate({"sub_agents": {"baker": {**BAKER, field: {}}}})

    assert [each["loc"] for each in raised.value.errors()] == [("sub_agents", "baker", field)]


def test_what_an_earlier_release_kept_is_read_without_what_is_not_taken() -> None:
    kept = {
        "baker": {**BAKER, "mcpServers": [{"evil": {"command": "/bin/sh"}}], "hooks": {}},
        "half": {"description": "no prompt"},
        "none": "text",
        "a name with spaces": BAKER,
    }

    agent = AgentSettings.model_validate({"sub_agents": kept}, context=KEPT)

    assert agent.sub_agents == {"baker": SubAgent(**BAKER)}


def test_the_text_of_a_sub_agent_can_be_kept_by_every_store() -> None:
    agent = SubAgent(description="a\0", prompt="b\0c")

    assert (agent.description, agent.prompt) == ("a\ufffd", "b\ufffdc")


@pytest.mark.parametrize(
    ("models", "model", "is_granted"),
    [
        (("*",), "opus", True),
        (("claude-sonnet-*",), "sonnet", True),
        (("claude-sonnet-*",), "claude-sonnet-5-5", True),
        (("claude-sonnet-*",), "inherit", True),
        (("claude-sonnet-*",), None, True),
        (("claude-sonnet-*",), "opus", False),
        (("claude-sonnet-4-5*",), "sonnet", False),
        (("claude-sonnet-*",), "claude-opus-4-5", False),
    ],
)
def test_the_model_of_a_sub_agent_is_one_of_its_keys(
    models: tuple[str, ...], model: str | None, is_granted: bool
) -> None:
    agent = AgentSettings(sub_agents={"baker": SubAgent(**BAKER, model=model)})

    missing = not_granted((), agent, Grant(sub_agents=True, models=models))

    field = "agent.sub_agents.baker.model"
    assert (missing.field if missing else None) == (None if is_granted else field)
