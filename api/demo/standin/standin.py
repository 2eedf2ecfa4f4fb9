"""The stand-in's mind: who may ask, what is left of each account, how the next answer goes, what it
will cost.

One object holds all of it; the routes forward to it and tests steer it. Deciding about a request
takes the behaviour from the script and charges the account in one step under one lock, so that no
two requests get past the last nano-dollar together. Every public method may be called from any
thread, and `wait_until` lets a test wait for what it needs to see.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from api.demo.answers.answer import Answer, compose
from api.demo.answers.conversation import (
    Caller,
    last_user_text,
    refused_together,
    tool_problem,
)
from api.demo.answers.problems import Problem, unauthorized
from api.demo.standin.behaviour import Behaviour, Script, UnreadableMarker, marked
from api.demo.standin.bill import NO_USAGE, Bill, Line, Usage, cost_nano_usd, fingerprint
from api.demo.standin.journal import MESSAGES, Journal, Recorded
from api.demo.standin.prompt_cache import PromptCache
from api.demo.standin.quota import Meter, Quota, allowed_headers, rejected_headers, spent, utc_now

_KNOWN_MODEL = re.compile(r"claude-(sonnet|opus|haiku|fable)-[a-z0-9.-]+(\[1m\])?")


@dataclass(frozen=True)
class Plan:
    """A request that was admitted: the answer it is to get, and what was charged in advance."""

    answer: Answer
    behaviour: Behaviour
    headers: dict[str, str]
    request_id: str
    credential: str
    account: str
    charged_nano_usd: int
    decided_at: datetime


@dataclass(frozen=True)
class Refused:
    """A request that gets an error instead, after a delay where one was scripted."""

    problem: Problem
    request_id: str
    delay_seconds: float = 0


@dataclass
class _Accounts:
    default: Quota
    since: datetime
    names: dict[str, str] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)


class Standin:
    """A stand-in for the Messages API; give it to `create_app` to have it served.

    Unknown credentials are accepted until `allow` names those that are; every credential is an
    account of its own until `account` groups some; every account has `quota`, by default unlimited,
    until `set_quota` says otherwise.
    """

    def __init__(self, quota: Quota | None = None, clock: Callable[[], datetime] = utc_now) -> None:
        self.bill = Bill()
        self.requests = Journal()
        self.clock = clock
        self._script = Script()
        self._prompts = PromptCache()
        self._quota = quota or Quota()
        self._changed = threading.Condition(threading.RLock())
        self._accounts = _Accounts(self._quota, self.clock())
        self._allowed: frozenset[str] | None = None
        self._gates: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    # Steering

    def next(self, *behaviours: Behaviour, token: str | None = None) -> None:
        """Let the next answers (to `token`, or to anybody) be these, one each, in order."""
        self._script.queue(_key(token), behaviours)

    def always(self, behaviour: Behaviour | None, token: str | None = None) -> None:
        """Let every answer that nothing else is said about be this one; None takes that back."""
        self._script.rule(_key(token), behaviour)

    def set_quota(self, quota: Quota, token: str | None = None) -> None:
        """Give the account of `token`, or every account, these limits; windows start anew."""
        with self._changed:
            if token is None:
                self._accounts.default, self._accounts.since = quota, self.clock()
                self._accounts.meters.clear()
            else:
                self._accounts.meters[self._account_of(fingerprint(token))] = Meter.of(
                    quota, self.clock()
                )

    def account(self, name: str, *tokens: str) -> None:
        """Let these credentials belong to one account: one quota, one organization id."""
        with self._changed:
            self._accounts.names.update({fingerprint(token): name for token in tokens})

    def allow(self, *tokens: str) -> None:
        """Accept these credentials only; others get a 401."""
        with self._changed:
            self._allowed = frozenset(map(fingerprint, tokens))

    def allow_anyone(self) -> None:
        """Accept every credential, as at the start."""
        with self._changed:
            self._allowed = None

    def release(self) -> None:
        """Let every answer that stalls now go on to its end."""
        with self._changed:
            for loop, gate in self._gates:
                loop.call_soon_threadsafe(gate.set)

    def reset(self) -> None:
        """Forget bill, requests, script, prompts, accounts and quotas; answers on the way go on."""
        with self._changed:
            self.bill.clear()
            self.requests.clear()
            self._script.clear()
            self._prompts.clear()
            self._accounts = _Accounts(self._quota, self.clock())
            self._allowed = None
            self._changed.notify_all()

    # Watching

    def meter(self, token: str) -> Meter:
        """What the account of `token` has used of its windows at this moment."""
        with self._changed:
            return self._meter(self._account_of(fingerprint(token))).at(self.clock())

    def last_user_text(self, token: str | None = None) -> str:
        """The user's words in the newest message request, verbatim; LookupError without one."""
        found = self.requests.all(token, path=MESSAGES)
        if not found:
            raise LookupError("no message request has arrived")
        return found[-1].last_user_text()

    def wait_until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Return as soon as `condition` holds, looked at whenever something arrives or is billed.

        Raises TimeoutError when it does not within `seconds`. Do not call it on the server's own
        event loop.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(
                        f"the stand-in did not see what was awaited within {seconds} s"
                    )
                self._changed.wait(left)

    # Answering

    def record(self, request: Recorded) -> None:
        """Note a request that arrived."""
        with self._changed:
            self.requests.add(request)
            self._changed.notify_all()

    def admits(self, caller: Caller) -> bool:
        """Whether this credential is accepted at all."""
        with self._changed:
            return bool(caller.credential) and (
                self._allowed is None or caller.credential in self._allowed
            )

    def organization(self, caller: Caller) -> str:
        """The id of the organization the caller's account belongs to, the same for all its
        credentials.
        """
        with self._changed:
            return str(uuid.uuid5(uuid.NAMESPACE_URL, self._account_of(caller.credential)))

    def decide(self, caller: Caller, body: dict[str, Any], request_id: str) -> Plan | Refused:
        """What becomes of a message request; an admitted one is charged to its account at once."""
        if not self.admits(caller):
            return Refused(unauthorized(caller.auth), request_id)
        model = str(body.get("model", ""))
        wrong = tool_problem(body)
        if wrong is not None or not _KNOWN_MODEL.fullmatch(model):
            refused = Problem(400, wrong) if wrong else Problem(404, f"model: {model}")
            return Refused(refused, request_id)
        with self._changed:
            now = self.clock()
            account = self._account_of(caller.credential)
            meter = self._meter(account)
            if caller.auth == "bearer" and (window := meter.refuses(model, now)):
                return Refused(
                    Problem(429, headers=rejected_headers(meter, window, now)), request_id
                )
            try:
                behaviour = marked(last_user_text(body)) or self._script.take(caller.credential)
                problem = _scripted(behaviour, caller, now) or _refused_together(body)
                if behaviour.caches and not problem:
                    behaviour = self._counted(behaviour, account, body, now)
                answer = compose(body, behaviour)
            except (UnreadableMarker, ValueError) as error:
                return Refused(Problem(400, f"stand-in: {error}"), request_id)
            if problem:
                return Refused(problem, request_id, behaviour.delay_seconds)
            cost = (cost_nano_usd(model, behaviour.usage) or 0) if caller.auth == "bearer" else 0
            headers = allowed_headers(meter, model, cost, now) if caller.auth == "bearer" else {}
            self._accounts.meters[account] = meter.charge(model, cost, now) if cost else meter
            return Plan(
                answer, behaviour, headers, request_id, caller.credential, account, cost, now
            )

    def _counted(
        self, behaviour: Behaviour, account: str, body: dict[str, Any], now: datetime
    ) -> Behaviour:
        said = behaviour.usage.output_tokens
        return behaviour.model_copy(update={"usage": self._prompts.usage(account, body, now, said)})

    def begin(self, plan: Plan) -> None:
        """The answer begins: its input is billed from here on."""
        usage = plan.answer.usage.model_copy(update={"output_tokens": 0})
        line = Line(
            credential=plan.credential,
            account=plan.account,
            model=plan.answer.model,
            usage=usage,
            cost_nano_usd=cost_nano_usd(plan.answer.model, usage),
            message_id=plan.answer.message_id,
            request_id=plan.request_id,
            outcome="open",
            billed_at=self.clock(),
        )
        with self._changed:
            self.bill.begin(line)
            self._changed.notify_all()

    def settle(self, plan: Plan, outcome: Literal["completed", "cut"], output_tokens: int) -> None:
        """The answer ended: bill what left, give back to the account what did not."""
        usage = plan.answer.usage.model_copy(update={"output_tokens": output_tokens})
        with self._changed:
            self.bill.settle(plan.answer.message_id, outcome, usage)
            self._give_back(plan, usage)
            self._changed.notify_all()

    def abandon(self, plan: Plan) -> None:
        """The answer never began: nothing is billed, everything is given back."""
        with self._changed:
            self._give_back(plan, NO_USAGE)
            self._changed.notify_all()

    def gate(self) -> asyncio.Event:
        """An event of the running loop that `release` sets; hand it to `forget` afterwards."""
        gate = asyncio.Event()
        with self._changed:
            self._gates.add((asyncio.get_running_loop(), gate))
            self._changed.notify_all()
        return gate

    def forget(self, gate: asyncio.Event) -> None:
        """The answer behind `gate` no longer stalls."""
        with self._changed:
            self._gates.discard((asyncio.get_running_loop(), gate))

    @property
    def stalled(self) -> int:
        """How many answers stall now, waiting for `release`."""
        with self._changed:
            return len(self._gates)

    def _give_back(self, plan: Plan, used: Usage) -> None:
        unused = plan.charged_nano_usd - (cost_nano_usd(plan.answer.model, used) or 0)
        meter = self._accounts.meters.get(plan.account)
        if meter is not None and plan.charged_nano_usd and unused > 0:
            refunded = meter.refund(plan.answer.model, unused, plan.decided_at)
            self._accounts.meters[plan.account] = refunded

    def _account_of(self, credential: str) -> str:
        return self._accounts.names.get(credential, credential)

    def _meter(self, account: str) -> Meter:
        known = self._accounts.meters.get(account)
        return known or Meter.of(self._accounts.default, self._accounts.since)


def _key(token: str | None) -> str | None:
    return None if token is None else fingerprint(token)


def _refused_together(body: dict[str, Any]) -> Problem | None:
    why = refused_together(body)
    return None if why is None else Problem(400, why)


def _scripted(behaviour: Behaviour, caller: Caller, now: datetime) -> Problem | None:
    if behaviour.kind == "usage_limit":
        meter, window = spent(behaviour.window, behaviour.resets_in_seconds, now)
        return Problem(429, headers=rejected_headers(meter, window, now))
    if behaviour.status == 401:
        return unauthorized(caller.auth)
    return Problem(behaviour.status, behaviour.text or "") if behaviour.status else None
