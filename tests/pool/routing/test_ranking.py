from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pool.executions.outcome import FailureKind
from pool.limits.windows import Window
from pool.routing.policy import RoutingPolicy, RoutingSettings, Strategy
from pool.routing.ranking import Ranking, explained, rank
from pool.subscriptions.admission import Ask, Refusal, RefusalCause
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.report import Report
from pool.subscriptions.slots import Hold
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

POLICY = RoutingPolicy()
ASK = Ask(goes_on=False, reserve_usd=Decimal("0.01"))


def ranking(*reports: Report, sent: dict[str, int] | None = None) -> Ranking:
    return rank(reports, ASK, POLICY, NOON, sent)


def order(ranked: Ranking) -> list[str]:
    return [each.report.id for each in ranked.candidates]


def report_of(id_: str, *, running: int = 0, **of: object) -> Report:
    made = state(id_, **of)  # type: ignore[arg-type]
    for n in range(running):
        made.slots.take(f"{id_}-{n}", Hold(f"s{n}", 0))
    return report_at(made)


def test_the_healthiest_comes_first() -> None:
    tired = report_of("tired", spent_usd="60", weekly_budget_usd=100)

    assert order(ranking(tired, report_of("fresh"))) == ["fresh", "tired"]


def test_a_free_slot_goes_before_a_queue_however_healthy_the_full_one_is() -> None:
    full = report_of("full", running=1, max_concurrent=1)
    tired = report_of("tired", spent_usd="80", weekly_budget_usd=100)

    assert order(ranking(full, tired)) == ["tired", "full"]


def test_of_equals_the_one_with_the_larger_plan_is_less_loaded() -> None:
    small = report_of("a-small", running=1, weight=1)
    large = report_of("b-large", running=1, weight=5)

    assert order(ranking(small, large)) == ["b-large", "a-small"]


def test_who_must_refuse_comes_last_with_the_reason() -> None:
    paused = report_of("a", standing=Standing(paused=True))

    ranked = ranking(paused, report_of("b"))

    assert order(ranked) == ["b", "a"]
    assert [each.report.id for each in ranked.usable] == ["b"]
    assert ranked.reasons == "a: paused by an operator; resume it to use it"


def test_what_was_just_sent_counts_before_any_report_of_it() -> None:
    reports = [report_of("a"), report_of("b")]

    assert order(ranking(*reports, sent={"a": 1})) == ["b", "a"]


@given(st.integers(1, 60))
def test_a_burst_spreads_evenly_over_equal_subscriptions(requests: int) -> None:
    reports = [report_of(f"sub{n}", max_concurrent=100) for n in range(3)]
    sent: dict[str, int] = {}

    for _ in range(requests):
        best = ranking(*reports, sent=sent).usable[0].report.id
        sent[best] = sent.get(best, 0) + 1

    counts = [sent.get(f"sub{n}", 0) for n in range(3)]
    assert max(counts) - min(counts) <= 1


def test_a_report_that_is_too_old_is_not_believed() -> None:
    old = rank([report_of("a")], ASK, POLICY, NOON + timedelta(seconds=61))

    assert _refusal(old).cause == RefusalCause.STALE_REPORT


def test_the_earliest_relief_of_all_refusals_is_told() -> None:
    soon = report_of("soon", spent_usd="90", ago=timedelta(days=6), weekly_budget_usd=100)
    late = report_of("late", spent_usd="90", ago=timedelta(days=2), weekly_budget_usd=100)

    ranked = ranking(soon, late)

    assert ranked.usable == ()
    assert ranked.is_exhausted
    assert NOON + timedelta(days=1) == ranked.retry_at


def test_a_refusal_of_the_owner_outweighs_its_report() -> None:
    full = Refusal(cause=RefusalCause.QUEUE_FULL, detail="full")

    ranked = ranking(report_of("a"), report_of("b")).refused({"a": full})

    assert [each.report.id for each in ranked.usable] == ["b"]


def test_an_execution_keeps_why_it_went_where_it_went() -> None:
    paused = report_of("b", standing=Standing(paused=True))

    routing = explained(ranking(report_of("a"), paused), "a", "the only one that can")

    assert (routing.score, routing.reason) == (100.0, "the only one that can")
    assert [(each.subscription_id, each.refusal) for each in routing.candidates] == [
        ("a", None),
        ("b", "paused by an operator; resume it to use it"),
    ]


def test_a_later_tier_serves_only_what_no_earlier_one_can_take() -> None:
    tired = report_of("tired", spent_usd="80", weekly_budget_usd=100, running=1, max_concurrent=1)
    overflow = report_of("overflow", tier=2)
    spent = report_of("spent", spent_usd="90", weekly_budget_usd=100)

    assert order(ranking(overflow, tired)) == ["tired", "overflow"]
    assert order(ranking(overflow, spent)) == ["overflow", "spent"]


def strategically(strategy: Strategy, *reports: Report) -> list[str]:
    policy = RoutingPolicy(settings=RoutingSettings(strategy=strategy))
    return order(rank(reports, ASK, policy, NOON))


def resetting(
    id_: str, utilization: float, resets_in: timedelta = timedelta(minutes=30), **of: object
) -> Report:
    windows: dict[str, Window] = {"five_hour": window(utilization, resets_in=resets_in)}
    return report_of(id_, windows=windows, **of)


def test_headroom_that_a_reset_is_about_to_waste_is_used_first_by_its_strategy_alone() -> None:
    subscriptions = (report_of("fresh"), resetting("resets", 0.4))

    assert strategically(Strategy.USE_BEFORE_RESET, *subscriptions) == ["resets", "fresh"]
    assert strategically(Strategy.HEALTHIEST, *subscriptions) == ["fresh", "resets"]


def test_the_more_a_reset_would_waste_the_earlier_it_is_used() -> None:
    subscriptions = (resetting("little", 0.6), resetting("much", 0.2))

    assert strategically(Strategy.USE_BEFORE_RESET, *subscriptions) == ["much", "little"]


def test_a_reset_far_away_or_a_tired_subscription_is_no_reason() -> None:
    late = resetting("late", 0.2, timedelta(hours=1, seconds=1))
    tired = resetting(
        "tired", 0.5, spent_usd="84", weekly_budget_usd=100, running=4, max_concurrent=5
    )

    assert strategically(Strategy.USE_BEFORE_RESET, late, report_of("fresh")) == ["fresh", "late"]
    assert tired.health.score < 30
    assert strategically(Strategy.USE_BEFORE_RESET, tired, report_of("fresh")) == ["fresh", "tired"]


BARRED = Refusal(cause=RefusalCause.ATTEMPTED, detail="tried there", until=None)


def test_who_is_barred_keeps_a_refusal_and_an_end_of_its_own() -> None:
    limited = report_of("limited", spent_usd="90", ago=timedelta(days=6), weekly_budget_usd=100)
    ranked = ranking(limited, report_of("free")).barred({"limited": BARRED, "free": BARRED})

    causes = {each.report.id: each.refusal.cause for each in ranked.candidates if each.refusal}
    assert causes == {"limited": RefusalCause.LIMITED, "free": RefusalCause.ATTEMPTED}
    assert (ranked.usable, ranked.retry_at) == ((), NOON + timedelta(days=1))


def test_barring_somebody_unknown_changes_nothing() -> None:
    assert ranking(report_of("a")) == ranking(report_of("a")).barred({"nobody": BARRED})


def test_at_home_a_session_goes_on_where_new_work_has_ended() -> None:
    reports = [report_of(id_, spent_usd="90", weekly_budget_usd=100) for id_ in ("home", "away")]

    ranked = rank(reports, ASK, POLICY, NOON, home="home")

    assert [each.report.id for each in ranked.usable] == ["home"]


def test_a_model_that_is_used_up_on_one_subscription_goes_to_another() -> None:
    used = report_of("a", windows={"seven_day_opus": window(1.0)})
    opus = ASK.model_copy(update={"model": "claude-opus-4-1"})

    assert order(rank([used, report_of("b")], opus, POLICY, NOON)) == ["b", "a"]


def _refusal(ranked: Ranking) -> Refusal:
    refusal = ranked.candidates[0].refusal
    assert refusal is not None
    return refusal


def test_a_refusal_lifts_by_the_clock_though_the_report_is_older_than_its_end() -> None:
    cooldown = Cooldown(
        cause=FailureKind.USAGE_LIMIT,
        evidence="limit reached",
        since=NOON,
        until=NOON + timedelta(seconds=10),
    )
    cooling = report_of("cooling", standing=Standing(cooldown=cooldown))

    def usable(after: timedelta) -> bool:
        return bool(rank([cooling], ASK, POLICY, NOON + after).usable)

    assert not usable(timedelta(seconds=9.9))
    assert usable(timedelta(seconds=10))
