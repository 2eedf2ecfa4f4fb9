"""Every route of the service, and who gets what there: of one's own, and of another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.callers.many_callers import ANONYMOUS, CALLERS

Thing = dict[str, Any]
"""An execution of alice's."""

EVERYBODY = (*(each.name for each in CALLERS), ANONYMOUS)
TEAM = {"alice", "anna"}
SEES_ALL = {"auditor", "auditing-runner", "admin"}
RUNS = {"alice", "anna", "mallory", "both", "auditing-runner"}
READS = {"watcher", "both", "reader"} | SEES_ALL
HAS_SOMETHING = RUNS | READS


@dataclass(frozen=True)
class Rule:
    """Who gets what at an address."""

    granted: frozenset[str]
    """Whom it answers."""
    hidden: frozenset[str] = frozenset()
    """To whom it is as if it were not there: 404. All others: 403, and 401 without a key."""
    path: Callable[[Thing], str] | None = None
    body: Any = None
    refused: int | None = None
    """What it answers even those: alice's thing is in no state for what is asked."""
    shows: frozenset[str] | None = None
    """Of a list or a stream: in whose answer alice's thing is."""


def rule(granted: set[str], hidden: set[str] | None = None, **of: Any) -> Rule:
    shows = of.pop("shows", None)
    return Rule(
        frozenset(granted),
        frozenset(hidden or ()),
        shows=None if shows is None else frozenset(shows),
        **of,
    )


def _of_execution(suffix: str = "") -> Callable[[Thing], str]:
    return lambda thing: f"/v1/executions/{thing['id']}{suffix}"


def _of_response(thing: Thing) -> str:
    return f"/v1/responses/resp_{thing['id'].removeprefix('exec_')}"


def _of_session(thing: Thing) -> str:
    return f"/v1/sessions/{thing['session_id']}"


def at(path: str) -> Callable[[Thing], str]:
    return lambda _: path


SEE = rule(TEAM | {"watcher"} | SEES_ALL, {"mallory", "both", "reader"})
ACT = rule(TEAM | {"admin"}, {"mallory", "both", "auditing-runner"})
LIST = rule(HAS_SOMETHING, shows=TEAM | {"watcher"} | SEES_ALL)
POOL = rule(READS)
ALL = rule(SEES_ALL)
RUN = rule(RUNS)
ADMIN = rule({"admin"})
OPEN = rule(set(EVERYBODY))


def where(
    base: Rule, path: Callable[[Thing], str] | str, body: Any = None, refused: int | None = None
) -> Rule:
    found = path if callable(path) else at(path)
    return Rule(base.granted, base.hidden, found, body, refused, base.shows)


SUB1 = "/v1/subscriptions/sub1"
NONE = "/v1/subscriptions/none"
"""Where it is changed, nothing is: that it is not known is told to whoever may change it."""
PROMPT = {"prompt": "say yes"}
RESULTS = {"results": [{"tool_use_id": "toolu_1", "content": "21"}]}
"""Of a call that the execution has not made."""
MESSAGES = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "say yes"}],
}
CHAT = {"model": "claude-sonnet-4-5", "messages": MESSAGES["messages"]}
RESPONSES = {"model": "claude-sonnet-4-5", "input": "say yes"}
EXPORT = {"resourceLogs": []}
RANGE = {"since": "2026-01-27T00:00:00Z", "until": "2026-01-27T01:00:00Z"}
SPENT = {"models": {"claude-sonnet-4-5": {"cost_usd": 1}}}

TABLE: dict[tuple[str, str], Rule] = {
    ("POST", "/v1/executions"): where(RUN, "/v1/executions", PROMPT),
    ("GET", "/v1/executions"): where(LIST, "/v1/executions"),
    ("GET", "/v1/executions/{execution_id}"): where(SEE, _of_execution()),
    ("GET", "/v1/executions/{execution_id}/events"): where(SEE, _of_execution("/events")),
    ("POST", "/v1/executions/{execution_id}/cancel"): where(ACT, _of_execution("/cancel")),
    ("POST", "/v1/executions/{execution_id}/tool_results"): where(
        ACT, _of_execution("/tool_results"), RESULTS, refused=422
    ),
    ("POST", "/v1/messages"): where(RUN, "/v1/messages", MESSAGES),
    ("POST", "/v1/chat/completions"): where(RUN, "/v1/chat/completions", CHAT),
    ("POST", "/v1/responses"): where(RUN, "/v1/responses", RESPONSES),
    ("GET", "/v1/responses/{response_id}"): where(SEE, _of_response),
    ("GET", "/v1/models"): where(rule(HAS_SOMETHING), "/v1/models"),
    ("GET", "/v1/models/{model_id}"): where(rule(HAS_SOMETHING), "/v1/models/sonnet"),
    ("GET", "/v1/subscriptions"): where(POOL, "/v1/subscriptions"),
    ("POST", "/v1/subscriptions"): where(ADMIN, "/v1/subscriptions", {"id": "no.id"}),
    ("GET", "/v1/subscriptions/{subscription_id}"): where(POOL, SUB1),
    ("PATCH", "/v1/subscriptions/{subscription_id}"): where(ADMIN, NONE, {"weight": 2}),
    ("DELETE", "/v1/subscriptions/{subscription_id}"): where(ADMIN, NONE),
    ("POST", "/v1/subscriptions/{subscription_id}/pause"): where(ADMIN, f"{NONE}/pause"),
    ("POST", "/v1/subscriptions/{subscription_id}/resume"): where(ADMIN, f"{NONE}/resume"),
    ("POST", "/v1/subscriptions/{subscription_id}/drain"): where(ADMIN, f"{NONE}/drain"),
    ("GET", "/v1/subscriptions/{subscription_id}/usage"): where(
        rule(READS, shows={"watcher"} | SEES_ALL),
        lambda thing: f"/v1/subscriptions/{thing['subscription_id']}/usage",
    ),
    ("POST", "/v1/subscriptions/{subscription_id}/usage"): where(ADMIN, f"{NONE}/usage", SPENT),
    ("POST", "/v1/subscriptions/{subscription_id}/usage/retract"): where(
        ADMIN, f"{NONE}/usage/retract", {"ids": ["external:none"]}
    ),
    ("GET", "/v1/subscriptions/{subscription_id}/blocks"): where(POOL, f"{SUB1}/blocks"),
    ("GET", "/v1/subscriptions/{subscription_id}/health"): where(POOL, f"{SUB1}/health"),
    ("GET", "/v1/pool"): where(POOL, "/v1/pool"),
    ("GET", "/v1/capacity"): where(POOL, "/v1/capacity"),
    ("GET", "/v1/alerts"): where(ALL, "/v1/alerts"),
    ("GET", "/v1/nodes"): where(ALL, "/v1/nodes"),
    ("POST", "/v1/backups"): where(ADMIN, "/v1/backups"),
    ("GET", "/healthz"): where(OPEN, "/healthz"),
    ("GET", "/readyz"): where(OPEN, "/readyz"),
    ("GET", "/v1/reconciliations"): where(ALL, "/v1/reconciliations"),
    ("POST", "/v1/reconciliations"): where(ADMIN, "/v1/reconciliations", RANGE),
    ("GET", "/v1/reconciliations/{reconciliation_id}"): where(ALL, "/v1/reconciliations/r"),
    ("POST", "/v1/reconciliations/{reconciliation_id}/reverse"): where(
        ADMIN, "/v1/reconciliations/r/reverse"
    ),
    ("POST", "/v1/route"): where(POOL, "/v1/route", PROMPT),
    ("GET", "/v1/sessions"): where(LIST, "/v1/sessions"),
    ("GET", "/v1/sessions/{session_id}"): where(SEE, _of_session),
    ("DELETE", "/v1/sessions/{session_id}"): where(ACT, _of_session),
    ("POST", "/v1/otlp/v1/logs"): where(rule({"reporter", "admin"}), "/v1/otlp/v1/logs", EXPORT),
    ("GET", "/v1/events"): where(LIST, "/v1/events"),
    ("GET", "/v1/usage"): where(LIST, "/v1/usage?group_by=session"),
    ("GET", "/v1/usage/own"): where(rule(HAS_SOMETHING), "/v1/usage/own"),
    ("GET", "/v1/keys"): where(ADMIN, "/v1/keys"),
    ("POST", "/v1/keys"): where(ADMIN, "/v1/keys", {"name": "no name"}),
    ("POST", "/v1/keys/{key_id}/rotate"): where(ADMIN, "/v1/keys/none/rotate"),
    ("DELETE", "/v1/keys/{key_id}"): where(ADMIN, "/v1/keys/none"),
    ("GET", "/metrics"): where(POOL, "/metrics"),
}
NOT_IN_THE_DOCUMENT = {("GET", "/metrics")}
