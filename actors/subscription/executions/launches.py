"""What the CLI is launched with for an execution: its settings, directories and variables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from actors.subscription.context import SubscriptionContext
from pool.claude.launch.directories import resolved
from pool.claude.launch.launch_spec import Launch
from pool.executions.intent import Intent
from pool.executions.tools.client_tools import ToolChoice


class Launches:
    """Makes the launches of one subscription."""

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context

    async def launch(self, intent: Intent) -> Launch:
        request, budget = intent.request, intent.budget_usd
        goes_on, continues = intent.resumes or intent.forks is not None, bool(intent.continues)
        total = None
        if goes_on and not continues:
            total = await self._total(intent.forks or intent.session_id)
        # A session keeps the system prompt that it began with, unless the request brings another.
        keeps = goes_on and not (intent.continues is not None and intent.continues.begins)
        default = None if keeps or request.tools else self._context.deps.system_prompt
        return Launch(
            run_id=intent.execution_id,
            prompt=request.prompt,
            messages=request.messages[-1:] if goes_on else request.messages,
            session_id=intent.session_id,
            resumes=intent.resumes or continues,
            forks=None if continues else intent.forks,
            model=intent.model,
            timeout_seconds=intent.timeout_seconds,
            system_prompt=request.system_prompt or default,
            max_turns=request.max_turns,
            max_budget_usd=None if budget is None else format(budget, "f"),
            json_schema=request.json_schema,
            images=request.images,
            model_settings=request.model_settings,
            stops_at_max_tokens=request.stops_at_max_tokens,
            tools=request.tools,
            agent=request.agent,
            owner=intent.process_owner,
            client_tools=request.client_tools,
            tool_choice=ToolChoice() if intent.continues else request.tool_choice,
            continues=continues,
            session_total_nano_usd=intent.session_total_nano_usd or total,
            rates=self._context.state.rates,
        )

    async def at_its_place(self, intent: Intent) -> Launch:
        """The launch with the real places of its directories; ``InvalidRequest`` for others."""
        launch, roots = await self.launch(intent), self._context.deps.roots
        if launch.agent.working_directory is None and not launch.agent.add_directories:
            return launch
        agent = await asyncio.to_thread(resolved, launch.agent, intent.grant, roots)
        return launch.model_copy(update={"agent": agent})

    def environment(self, intent: Intent) -> Mapping[str, str]:
        """The variables of a run. The CLI reads the trace it belongs to, where it is to trace."""
        environment = self._context.deps.environment(self._context.state.spec)
        trace = {} if intent.trace is None else {"TRACEPARENT": intent.trace}
        return {**environment, **trace}

    async def _total(self, session_id: str) -> int | None:
        known = await self._context.ledger.session(session_id)
        return known.total_nano_usd if known else None
