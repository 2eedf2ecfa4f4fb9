"""A launch: all that one run of the CLI is started with; ``pool.claude.process`` starts it."""

from __future__ import annotations

from typing import Any

from pool.executions.content.image import Image
from pool.executions.content.turn import Turn
from pool.executions.model_settings import AS_IT_COMES, ModelSettings
from pool.executions.tools.client_tools import ClientTool, ToolChoice
from pool.executions.tools.permissions import AgentSettings
from pool.executions.tools.tool import Tool
from pool.usage.prices import LearnedPrices
from pool.values import Value


class Launch(Value):
    """What a runner needs to run the CLI once. Never logged: it holds the prompt."""

    run_id: str
    """Names the run's directory; the execution's id."""
    prompt: str
    messages: tuple[Turn, ...] = ()
    """A conversation in the place of ``prompt`` and ``images``; where the run goes on in a session
    that exists, the last of it alone."""
    session_id: str
    resumes: bool
    forks: str | None = None
    """The session to go on from in a new one; then ``resumes`` is false."""
    model: str
    timeout_seconds: float
    system_prompt: str | None = None
    max_turns: int | None = None
    max_budget_usd: str | None = None
    json_schema: dict[str, Any] | None = None
    images: tuple[Image, ...] = ()
    model_settings: ModelSettings = AS_IT_COMES
    stops_at_max_tokens: bool = False
    """Whether the answer is what the model said until it was cut off at its longest."""
    tools: tuple[Tool, ...] = ()
    agent: AgentSettings = AgentSettings()
    owner: str | None = None
    """Names those whose further sessions may have its process after it; None: nobody's may."""
    client_tools: tuple[ClientTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    continues: bool = False
    """It goes on from results that stand at the end of its session, and has no prompt of its own;
    then ``resumes`` is true."""
    session_total_nano_usd: int | None = None
    """The session's last known running total: the base for CLIs that report only totals."""
    rates: LearnedPrices = LearnedPrices()
    """What the subscription's models are known to cost: the price of a run that ends without a
    result."""

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns that its session begins with."""
        return self.messages[:-1]
