"""The demonstration: the real pool, the real service, the real CLI, and a stand-in for the API.

Everything is as in production but the address of the API and the tokens, which are made up and
set in this process (and so its children) alone. Two sets of accounts are kept apart until the end:
the pool's, from what the CLI says of each run, and the stand-in's bill.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from actors.runtime.serving import serving
from api.cli.display.board import board, dollars
from api.demo.standin import messages_api, server
from api.demo.standin.behaviour import Behaviour
from api.demo.standin.bill import Usage
from api.demo.standin.standin import Standin
from api.demo.tool_caller import ToolCaller
from api.demo.traffic import Traffic
from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.claude.binary.locate import find_executable
from pool.config import ClaudeSettings, Config, environment, parse
from pool.money import nano_usd, usd
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report

LONGEST_SECONDS = 180
"""Several times what it takes on two cores (about 30 s)."""
SETTLING_SECONDS = 5
TOOL_SECONDS = 1.5
"""How long the caller's tool takes: long enough to be seen on the page."""
TOKENS = {"ada": "test-token-a", "ben": "test-token-b", "cleo": "test-token-c"}
"""Made up, by subscription."""


def _variable(subscription: str) -> str:
    return f"CLAUDE_POOL_DEMO_{subscription.upper()}"


def configuration(api_url: str, folder: Path) -> Config:
    """A pool of three, whose runs talk to ``api_url``."""
    return parse(
        {
            "pool": {"data_dir": folder / "data", "log_level": "error", "tags": ["project"]},
            "server": {"port": 0},
            "claude": {
                "timeout_seconds": 60,
                "env": {"ANTHROPIC_BASE_URL": api_url, "NO_PROXY": "*", "no_proxy": "*"},
            },
            "subscriptions": [
                {
                    "id": subscription,
                    "credential": {"oauth_token_env": _variable(subscription)},
                    "weekly_budget_usd": 20,
                    "expected_block_usd": 5,
                    "max_concurrent": 2,
                }
                for subscription in TOKENS
            ],
        }
    )


@contextmanager
def _tokens_set() -> Iterator[None]:
    variables = {_variable(subscription): token for subscription, token in TOKENS.items()}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


@asynccontextmanager
async def _service(config: Config) -> AsyncIterator[httpx.AsyncClient]:
    """The pool and its HTTP service, and a client of it."""
    with bound(config.server) as listener:
        async with (
            serving(config) as pool,
            listening(create_app(pool.client, Keys({})), listener) as url,
            httpx.AsyncClient(base_url=url, timeout=90, trust_env=False) as http,
        ):
            yield http


class Show:
    """The acts, over HTTP."""

    def __init__(self, console: Console, http: httpx.AsyncClient, standin: Standin) -> None:
        self._console = console
        self._http = http
        self._standin = standin

    async def act(self, executions: int) -> None:
        """All of it, with the board moving underneath."""
        with Live(console=self._console, auto_refresh=False, transient=True) as screen:
            moving = asyncio.create_task(self._move(screen))
            try:
                await self._many(executions)
                await self._session()
                await self._tool()
                await self._limit()
                await self._overload()
            finally:
                moving.cancel()
                await asyncio.wait({moving})
        self._console.print(await self._board())

    async def recorded(self) -> Mapping[str, Decimal]:
        """What the pool says that each subscription has spent, once it has recorded every run."""
        reports, _ = await self._reports()
        return {report.id: report.totals.usage.cost_usd for report in reports}

    async def _many(self, count: int) -> None:
        self._say(f"{count} executions at once, on the subscriptions with the most headroom")
        usages = [
            Usage(input_tokens=60_000 + 9_000 * n, output_tokens=12_000) for n in range(count)
        ]
        self._standin.next(*(Behaviour(usage=each, seconds=1) for each in usages))
        answers = await asyncio.gather(*(self._run(f"job {n}") for n in range(count)))
        spread = ", ".join(sorted({answer["subscription_id"] for answer in answers}))
        self._say(f"  they went to {spread}")

    async def _session(self) -> None:
        self._say("a session of three turns, which stays where it began")
        session: str | None = None
        for turn in ("first", "second", "third"):
            answer = await self._run(f"the {turn} turn", session_id=session)
            session = answer["session_id"]
            cost = dollars(Decimal(str(answer["usage"]["cost_usd"])))
            self._say(f"  {turn} turn on {answer['subscription_id']}, {cost}")

    async def _tool(self) -> None:
        self._say("a caller with a tool of its own: its execution waits for it, and holds no slot")

        def told(waits: dict[str, Any]) -> None:
            (call,) = waits["tool_calls"]
            where = f"{waits['status']} on {waits['subscription_id']}"
            self._say(f"  {where}: {call['name']}(city={call['input']['city']!r})")

        answer = await ToolCaller(self._http, self._standin, TOOL_SECONDS).ask("Rome", told=told)
        cost = dollars(Decimal(str(answer["usage"]["cost_usd"])))
        self._say(f"  {answer['status']} after {len(answer['rounds'])} rounds, {cost} in one bill")

    async def _limit(self) -> None:
        self._say("cleo hits the limit of her plan, in the middle of a session")
        begun = await self._run("the first turn", subscription_id="cleo")
        limit = Behaviour(kind="usage_limit", resets_in_seconds=600)
        self._standin.next(limit, token=TOKENS["cleo"])
        refused = await self._ask("one too many", subscription_id="cleo")
        self._say(f"  {refused.status_code}: {refused.json().get('detail')}")
        again = await self._ask("cleo, once more", subscription_id="cleo")
        self._say(f"  {again.status_code}, come back in {again.headers.get('retry-after')} s")
        answer = await self._run("the second turn", session_id=begun["session_id"])
        self._say(f"  the session goes on at {answer['subscription_id']}, with its history")

    async def _overload(self) -> None:
        self._say("an overload, which the CLI cannot sit out: the work goes on elsewhere")
        overload = Behaviour(kind="error", status=529)
        self._standin.next(*[overload] * (1 + ClaudeSettings().max_retries))
        answer = await self._run("in spite of it")
        for attempt in answer["attempts"]:
            self._say(f"  {attempt['outcome']} on {attempt['subscription_id']}")

    async def _ask(self, prompt: str, **options: Any) -> httpx.Response:
        return await self._http.post("/v1/executions", json={"prompt": prompt, **options})

    async def _run(self, prompt: str, **options: Any) -> dict[str, Any]:
        response = await self._ask(prompt, **options)
        answer: dict[str, Any] = response.json()
        if answer.get("status") != "succeeded":
            why = answer.get("detail") or answer.get("error")
            self._say(f"  [red]{prompt!r} did not succeed: {why}")
        response.raise_for_status()
        return answer

    async def _move(self, screen: Live) -> None:
        while True:
            screen.update(await self._board(), refresh=True)
            await asyncio.sleep(0.3)

    async def _board(self) -> RenderableType:
        reports, overview = await self._reports()
        return board(reports, overview)

    async def _reports(self) -> tuple[list[Report], Overview]:
        listed, pool = await asyncio.gather(
            self._http.get("/v1/subscriptions"), self._http.get("/v1/pool")
        )
        reports = [Report.model_validate(each) for each in listed.json()["items"]]
        return reports, Overview.model_validate(pool.json())

    def _say(self, what: str) -> None:
        self._console.print(what, highlight=False)


async def perform(console: Console, folder: Path, executions: int, *, stays: bool) -> bool:
    """The whole show. True when the pool's records agree with the bill to the nano-dollar. One that
    ``stays`` goes on with light traffic afterwards, until Ctrl-C.

    When this returns or raises, everything it started has ended.
    """
    find_executable(None, search_path=environment().get("PATH"))
    with server.serving(messages_api.create_app()) as api, _tokens_set():
        console.print("starting a pool of three subscriptions, which takes some seconds ...")
        async with (
            asyncio.timeout(LONGEST_SECONDS) as deadline,
            _service(configuration(api.url, folder)) as http,
        ):
            console.print(f"look at it: {http.base_url}", highlight=False)
            show = Show(console, http, api.standin)
            await show.act(executions)
            agreed = await _compare(console, show, api.standin)
            if stays and agreed:
                deadline.reschedule(None)
                console.print(f"light traffic goes on until Ctrl-C: look at {http.base_url}")
                console.print(f"or: claude-pool top --url {http.base_url}", highlight=False)
                await _until_interrupted(Traffic(http, api.standin, tuple(TOKENS.values())))
            return agreed


async def _until_interrupted(traffic: Traffic) -> None:
    """Have traffic until Ctrl-C, which is how it ends well: the pool is put at rest as ever."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    going = asyncio.create_task(traffic.run())
    try:
        await interrupted.wait()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        going.cancel()
        await asyncio.wait({going})


async def _compare(console: Console, show: Show, standin: Standin) -> bool:
    """Compare the two; the pool's records are a moment behind its last run."""
    bills = {
        subscription: standin.bill.total(token).cost_nano_usd
        for subscription, token in TOKENS.items()
    }
    deadline = asyncio.get_running_loop().time() + SETTLING_SECONDS
    while True:
        recorded = {
            subscription: nano_usd(cost) for subscription, cost in (await show.recorded()).items()
        }
        if recorded == bills or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.2)
    console.print(_comparison(recorded, bills))
    agreed = recorded == bills
    verdict = "[green]they agree to the nano-dollar" if agreed else "[bold red]they DISAGREE"
    console.print(verdict)
    return agreed


def _comparison(recorded: Mapping[str, int], bills: Mapping[str, int]) -> Table:
    table = Table("", "the pool's records", "the stand-in's bill", box=None, pad_edge=False)
    for subscription in bills:
        table.add_row(
            subscription,
            f"${usd(recorded.get(subscription, 0)):f}",
            f"${usd(bills[subscription]):f}",
        )
    table.add_row("all", f"${usd(sum(recorded.values())):f}", f"${usd(sum(bills.values())):f}")
    return table
