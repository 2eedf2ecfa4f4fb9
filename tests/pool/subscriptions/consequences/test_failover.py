from datetime import timedelta
from decimal import Decimal

import pytest

from pool.executions.attempt import Attempt
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.subscriptions.consequences.failover import goes_elsewhere
from pool.subscriptions.consequences.standing import Standing
from pool.usage.records import Usage
from tests.support.values.examples import NOON, completed, usage_of

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
SUBSCRIPTION_OR_ROAD = {
    FailureKind.USAGE_LIMIT,
    FailureKind.RATE_LIMITED,
    FailureKind.OVERLOADED,
    FailureKind.SERVER_ERROR,
    FailureKind.CONNECTION,
    FailureKind.AUTHENTICATION,
    FailureKind.ACCESS_DENIED,
    FailureKind.ACCOUNT_DISABLED,
    FailureKind.CREDIT_EXHAUSTED,
    FailureKind.SPEND_LIMIT,
    FailureKind.STARTUP_FAILED,
    FailureKind.NOT_STARTED,
    FailureKind.MODEL_NOT_FOUND,
    FailureKind.NOT_ENTITLED,
    FailureKind.EXECUTION_ERROR,
    FailureKind.CLI_USAGE,
    FailureKind.NO_RESULT,
    FailureKind.KILLED,
}
TRIED = Attempt(subscription_id="other", outcome="usage_limit", cost_usd=Decimal(0))


def row(*, earlier: int = 0, **of: object) -> ExecutionRow:
    intent = Intent(
        execution_id="exec_1",
        request=ExecutionRequest.model_validate({"prompt": "q"} | of),
        session_id=SESSION,
        resumes=False,
        model="m",
        timeout_seconds=1,
        reserved_nano_usd=0,
        routing=Routing(score=1, reason="r"),
        created_at=NOON,
        earlier_attempts=(TRIED,) * earlier,
    )
    return ExecutionRow(intent=intent, status=ExecutionStatus.RUNNING, started_at=NOON)


def failed(
    kind: FailureKind = FailureKind.USAGE_LIMIT, *, spent: bool = False, evidence: bool = True
) -> Failed:
    usage = usage_of("0.1") if spent else Usage()
    return Failed(kind=kind, message="failed", usage=usage, evidence=evidence)


@pytest.mark.parametrize("kind", FailureKind)
def test_only_what_the_subscription_or_its_road_is_to_blame_for_is_tried_elsewhere(
    kind: FailureKind,
) -> None:
    assert (kind in SUBSCRIPTION_OR_ROAD) == goes_elsewhere(row(), failed(kind), Standing(), 5)


def test_an_answer_stays() -> None:
    assert not goes_elsewhere(row(), completed(), Standing(), 5)


@pytest.mark.parametrize(("earlier", "goes"), [(0, True), (3, True), (4, False), (9, False)])
def test_the_number_of_attempts_is_bounded(earlier: int, goes: bool) -> None:
    assert goes == goes_elsewhere(row(earlier=earlier), failed(), Standing(), 5)


def test_a_cancelled_execution_is_not_tried_again() -> None:
    cancelled = row().model_copy(update={"cancel_requested_at": NOON + timedelta(seconds=1)})

    assert not goes_elsewhere(cancelled, failed(), Standing(), 5)


def test_of_which_nobody_knows_what_it_spent_is_not_tried_again() -> None:
    assert not goes_elsewhere(row(), failed(FailureKind.CONNECTION, evidence=False), Standing(), 5)


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ({}, True),
        ({"background": True}, True),
        ({"stream": True}, False),
        ({"tools": ["B"]}, False),
    ],
)
def test_where_something_was_spent_only_who_saw_nothing_is_tried_again(
    asked: dict[str, object], goes: bool
) -> None:
    assert goes == goes_elsewhere(row(**asked), failed(spent=True), Standing(), 5)
    assert goes_elsewhere(row(**asked), failed(), Standing(), 5)


def test_a_request_that_nobody_can_tell_about_is_tried_elsewhere_once() -> None:
    unsure = failed(FailureKind.INVALID_REQUEST).model_copy(update={"is_ambiguous": True})
    tried = TRIED.model_copy(update={"outcome": "invalid_request"})
    again = row().intent.model_copy(update={"earlier_attempts": (tried,)})

    assert goes_elsewhere(row(), unsure, Standing(), 5)
    assert not goes_elsewhere(row().model_copy(update={"intent": again}), unsure, Standing(), 5)
    assert not goes_elsewhere(row(), failed(FailureKind.EXECUTION_ERROR, spent=True), Standing(), 5)


def test_a_second_refusal_by_one_that_has_answered_nothing_since_its_last_says_nothing() -> None:
    unsure = failed(FailureKind.INVALID_REQUEST).model_copy(update={"is_ambiguous": True})
    tried = TRIED.model_copy(update={"outcome": "invalid_request"})
    again = row().intent.model_copy(update={"earlier_attempts": (tried,)})
    second = row().model_copy(update={"intent": again})

    assert goes_elsewhere(second, unsure, Standing(unsure_failures=1), 5)
