from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pool.executions.outcome import FailureKind
from pool.keys.access import ALL, Access
from pool.routing.live_ranking import MOST_KINDS, MOST_TOLD, LiveRankings
from pool.routing.policy import RoutingPolicy, RoutingSettings, Strategy
from pool.routing.ranking import Question, Ranking, ranked
from pool.subscriptions.admission import Ask, Refusal, RefusalCause
from pool.subscriptions.consequences.model_refusals import ModelRefusal
from pool.subscriptions.health import Health
from pool.subscriptions.report import Report, SubscriptionState, WeeklyReport, WindowReport
from tests.support.suite.fuzz import examples
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state

IDS = tuple(f"{team}{n}" for team in "ab" for n in range(7))
OPUS, SONNET = "claude-opus-4-5", "claude-sonnet-4-5"
ASK = Ask(goes_on=False, reserve_usd=Decimal(0), model=SONNET, asked_for=SONNET)
POLICY = RoutingPolicy(settings=RoutingSettings(strategy=Strategy.USE_BEFORE_RESET))
PLAIN = {id_: report_at(state(id_)) for id_ in IDS}


class Both:
    """Live rankings, and what the plain ranking of all reports is made from."""

    def __init__(self, policy: RoutingPolicy = POLICY) -> None:
        self.policy = policy
        self.live = LiveRankings(policy)
        self.reports: dict[str, Report] = {}
        self.sent: dict[str, int] = {}
        self.now = NOON

    def hear(self, *reports: Report) -> None:
        for report in reports:
            self.reports[report.id] = report
            self.live.heard(report, self.now)

    @property
    def known(self) -> tuple[Report, ...]:
        return tuple(self.reports.values())

    def leave(self, id_: str) -> None:
        self.reports.pop(id_, None)
        self.live.left(id_, self.now)

    def send(self, id_: str, change: int) -> None:
        self.sent[id_] = self.sent.get(id_, 0) + change
        self.live.sent(id_, change, self.now)

    def plain(self, question: Question) -> Ranking:
        is_open = Access(subscriptions=question.open_to).covers_subscription
        reports = [each for each in self.reports.values() if is_open(each.id)]
        return ranked(reports, question, self.policy, self.now, self.sent)

    def agree(self, question: Question, most: int) -> Ranking:
        """The live ranking, which has to be the plain one as far as it is told."""
        live, plain = self.live.ranking(question, self.now, most), self.plain(question)
        assert live.usable[:most] == plain.usable[: 1 if question.only else most]
        assert live.usable_count == plain.usable_count
        assert live.causes == plain.causes
        assert live.retry_at == plain.retry_at
        assert live.is_exhausted == plain.is_exhausted
        assert live.is_without_the_model == plain.is_without_the_model
        assert [live.of(id_) for id_ in question.named] == [plain.of(i) for i in question.named]
        assert all(each == plain.of(each.report.id) for each in live.candidates)
        return live


def moments(*, before: bool = False) -> st.SearchStrategy[timedelta]:
    """Few enough that things meet at an instant, and just before and after it."""
    grid = st.sampled_from([0, 10, 30, 50, 60, 61, 1800, 3600, 5400])
    signed = st.sampled_from([-1, 1] if before else [1])
    nudge = st.sampled_from([0, 0, 0, -1, 1])
    return st.builds(
        lambda seconds, sign, micro: timedelta(seconds=sign * seconds, microseconds=micro),
        *(grid, signed, nudge),
    )


def instants() -> st.SearchStrategy[datetime]:
    return moments().map(lambda each: NOON + each)


windows = st.builds(
    lambda utilization, resets_at, status, fresh: WindowReport(
        utilization=utilization,
        resets_at=resets_at,
        status=status,
        observed_at=NOON,
        age_seconds=0,
        fresh=fresh,
    ),
    st.sampled_from([None, 0.2, 0.5, 0.84, 0.9, 1.0]),
    st.none() | instants(),
    st.sampled_from(["allowed", "allowed", "rejected", "in_use"]),
    st.sampled_from([True, True, False]),
)
refusals_of_models = st.builds(
    lambda model, until, length: ModelRefusal(
        model=model,
        cause=FailureKind.NOT_ENTITLED,
        evidence="no",
        until=until,
        at_least_bytes=length,
    ),
    st.sampled_from([OPUS, SONNET]),
    instants(),
    st.sampled_from([0, 200_000, 300_000]),
)
weeks = st.builds(
    lambda used, reserved: WeeklyReport(
        used_usd=Decimal(used),
        reserved_usd=Decimal(reserved),
        budget_usd=Decimal(100),
        percent=float(used),
    ),
    st.sampled_from([0, 0, 50, 84, 90, 99]),
    st.sampled_from(["0", "1.5", "15", "60"]),
)
_AVAILABLE = SubscriptionState.AVAILABLE
changes = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from([_AVAILABLE] * 9 + list(SubscriptionState)),
        "state_until": st.none() | instants(),
        "cooldown_cause": st.sampled_from([None, FailureKind.USAGE_LIMIT, FailureKind.OVERLOADED]),
        "running": st.integers(0, 3),
        "queued": st.integers(0, 2),
        "capacity": st.integers(1, 3),
        "max_queued": st.integers(0, 2),
        "weight": st.sampled_from([0.5, 1.0, 4.0]),
        "tier": st.sampled_from([1, 1, 2]),
        "allow_overage": st.booleans(),
        "reserve_percent": st.sampled_from([0.0, 20.0]),
        "weekly": weeks,
        "health": st.sampled_from([10.0, 50.2, 50.4, 90.0]).map(
            lambda score: Health(score=score, components=())
        ),
        "refused_models": st.lists(refusals_of_models, max_size=2).map(tuple),
        "windows": st.dictionaries(
            st.sampled_from(["five_hour", "seven_day", "seven_day_opus", "overage"]),
            windows,
            max_size=1,
        ),
        "last_request_at": st.none() | instants(),
        "observed_at": st.just(NOON) | instants(),
    },
)
ids = st.sampled_from(IDS)
causes = st.builds(
    lambda cause: Refusal(cause=cause, detail="no", until=None),
    st.sampled_from([RefusalCause.ATTEMPTED, RefusalCause.BUDGET, RefusalCause.MODEL]),
)
questions = st.builds(
    lambda model, length, reserve, named, **of: Question(
        ask=Ask(
            goes_on=False,
            reserve_usd=Decimal(reserve),
            model=model,
            asked_for=model,
            prompt_bytes=length,
        ),
        **dict.fromkeys(["home", "only", "asked"]) | named,
        **of,
    ),
    st.sampled_from([OPUS, SONNET, SONNET]),
    st.sampled_from([10, 10, 199_999, 200_000, 250_000, 400_000]),
    st.sampled_from(["0", "0", "0.5", "10", "39", "300"]),
    named=st.dictionaries(st.sampled_from(["home", "only", "asked"]), ids, max_size=2),
    open_to=st.sampled_from([ALL, ALL, ("a*",), ("a1", "b*"), ("nobody",)]),
    barred=st.dictionaries(ids, causes, max_size=2),
    refused=st.dictionaries(ids, causes, max_size=2),
)

Step = Callable[[Both], Any]


def _hear(id_: str, of: dict[str, Any]) -> Step:
    return lambda both: both.hear(PLAIN[id_].model_copy(update={"observed_at": both.now} | of))


def _pass(span: timedelta) -> Step:
    def step(both: Both) -> None:
        both.now += span

    return step


steps = st.one_of(
    st.builds(_hear, ids, changes),
    st.builds(_hear, ids, changes),
    st.builds(_hear, ids, st.builds(dict, weekly=weeks, state_until=instants())),
    st.builds(_hear, ids, st.builds(dict, refused_models=st.tuples(refusals_of_models))),
    st.builds(_hear, ids, st.builds(dict, windows=st.builds(dict, five_hour=windows))),
    ids.map(lambda id_: lambda both: both.leave(id_)),
    st.builds(lambda id_, by: lambda both: both.send(id_, by), ids, st.integers(-1, 2)),
    moments(before=True).map(_pass),
    moments().map(_pass),
)


@given(
    st.lists(steps, min_size=5, max_size=25),
    st.lists(questions, min_size=1, max_size=2),
    st.sampled_from([1, 3, MOST_TOLD]),
    st.sampled_from(Strategy),
)
@settings(max_examples=examples(60, 2000))
def test_whatever_came_in_whatever_order_the_choice_is_that_of_the_plain_ranking(
    course: list[Step], asked: list[Question], most: int, strategy: Strategy
) -> None:
    both = Both(RoutingPolicy(settings=RoutingSettings(strategy=strategy)))
    both.hear(*PLAIN.values())

    for step in course:
        for question in asked:
            both.agree(question, most)
        step(both)

    for question in asked:
        both.agree(question, most)
        assert both.live.whole(question, both.now) == both.plain(question)


def test_a_clock_that_is_set_back_is_noticed_by_kinds_that_nobody_asked_for_meanwhile() -> None:
    both = Both()
    both.hear(*PLAIN.values())
    both.agree(Question(ASK), most=3)

    both.now += timedelta(seconds=61)
    both.send("b0", 1)  # its report is too old by now
    both.now -= timedelta(seconds=30)

    both.agree(Question(ASK), most=3)


def test_the_best_are_told_one_by_one_and_the_others_by_number() -> None:
    both = Both()
    both.hear(*PLAIN.values())
    paused = {"state": SubscriptionState.PAUSED, "state_reason": "paused"}
    both.hear(*(PLAIN[id_].model_copy(update=paused) for id_ in ("b3", "b4", "b5")))

    ranking = both.agree(Question(ASK), MOST_TOLD)

    assert [each.report.id for each in ranking.candidates] == list(IDS[:8])
    assert (ranking.rest.usable, ranking.rest.refused) == (3, {RefusalCause.PAUSED: 3})
    assert str(ranking.rest) == "of 6 others 3 paused"


def test_where_nobody_can_take_it_those_are_told_that_lift_first() -> None:
    both = Both()
    for minutes, id_ in enumerate(reversed(IDS), start=1):
        cools = {
            "state": SubscriptionState.COOLDOWN,
            "state_reason": "overloaded",
            "state_until": NOON + timedelta(minutes=minutes),
        }
        both.hear(PLAIN[id_].model_copy(update=cools))

    ranking = both.agree(Question(ASK), MOST_TOLD)

    assert {each.report.id for each in ranking.candidates} == set(IDS[-8:])
    assert ranking.retry_at == NOON + timedelta(minutes=1)
    assert ranking.reasons.endswith("; of 6 others 6 failing")


def test_headroom_that_a_reset_is_about_to_waste_counts_from_an_hour_before_until_the_reset() -> (
    None
):
    both = Both()
    reset = NOON + timedelta(hours=1, seconds=10)
    of = {"utilization": 0.2, "resets_at": reset, "status": "allowed", "observed_at": NOON}
    wasted = {"five_hour": WindowReport.model_validate(of | {"age_seconds": 0, "fresh": True})}
    both.hear(*PLAIN.values())
    both.hear(PLAIN["b6"].model_copy(update={"windows": wasted}))

    def first() -> str:
        return both.agree(Question(ASK), MOST_TOLD).usable[0].report.id

    assert first() == "a0"
    both.now = NOON + timedelta(seconds=10)
    assert first() == "b6"
    both.now = reset - timedelta(seconds=1)
    both.hear(*(each.model_copy(update={"observed_at": both.now}) for each in both.known))
    assert first() == "b6"
    both.now = reset
    assert first() == "a0"


def test_few_are_told_all_as_they_are() -> None:
    both = Both()
    both.hear(*(PLAIN[id_] for id_ in IDS[:MOST_TOLD]))

    assert both.agree(Question(ASK, only="a1"), MOST_TOLD) == both.plain(Question(ASK, only="a1"))


def test_only_so_many_kinds_of_requests_are_kept_and_each_is_right_again_when_it_returns() -> None:
    both = Both()
    both.hear(*PLAIN.values())

    for _ in range(2):
        for n in range(MOST_KINDS + 3):
            both.agree(Question(ASK.model_copy(update={"model": f"claude-x-{n}"})), MOST_TOLD)
            both.send(IDS[n % 14], 1)
