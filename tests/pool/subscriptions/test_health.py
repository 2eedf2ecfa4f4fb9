import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.subscriptions.health import HealthWeights, Vitals, assess


def vitals(**readings: object) -> Vitals:
    resting = {
        "weekly_percent": 0.0,
        "weekly_source": "local",
        "block_percent": 0.0,
        "block_source": "local",
        "running": 0,
        "queued": 0,
        "burn_usd_per_hour": 0.0,
        "recent_failures": 0,
    }
    return Vitals.model_validate(resting | readings)


def score(**readings: object) -> float:
    return assess(vitals(**readings), HealthWeights()).score


def test_a_resting_subscription_is_in_full_health_and_no_bonus_lifts_it_above() -> None:
    assert score() == 100


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"weekly_percent": 40.0}, 100 - 20 + 10),
        ({"weekly_percent": 40.0, "block_percent": 50.0}, 100 - 20 - 15 + 10),
        ({"running": 2}, 100 - 10),
        ({"queued": 3}, 100 - 6),
        ({"burn_usd_per_hour": 5.0, "running": 1}, 100 - 4 - 5),
        ({"recent_failures": 2, "running": 1}, 100 - 10 - 5),
        ({"weekly_percent": 100.0, "block_percent": 100.0, "running": 50, "queued": 50}, 0),
    ],
)
def test_the_score_follows_the_formula(readings: dict[str, object], expected: float) -> None:
    assert expected == score(**readings)


@pytest.mark.parametrize(
    ("reading", "name", "cap"),
    [
        ("running", "running", 20),
        ("queued", "queued", 20),
        ("burn_usd_per_hour", "burn_rate", 10),
        ("recent_failures", "failures", 20),
    ],
)
def test_no_penalty_drowns_the_others(reading: str, name: str, cap: float) -> None:
    components = assess(vitals(**{reading: 10_000}), HealthWeights()).components

    assert -cap == next(each.points for each in components if each.name == name)


@given(
    st.floats(0, 500),
    st.floats(0, 500),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.floats(0, 1e6),
    st.integers(0, 1000),
)
def test_the_score_stays_between_0_and_100_and_is_the_sum_of_its_components(
    weekly: float, block: float, running: int, queued: int, burn: float, failures: int
) -> None:
    health = assess(
        vitals(
            weekly_percent=weekly,
            block_percent=block,
            running=running,
            queued=queued,
            burn_usd_per_hour=burn,
            recent_failures=failures,
        ),
        HealthWeights(),
    )

    assert 0 <= health.score <= 100
    explained = 100 + sum(each.points for each in health.components)
    assert health.score == pytest.approx(min(100, max(0, explained)), abs=0.001)


@given(st.floats(0, 100), st.floats(0, 100))
def test_more_spending_never_makes_a_subscription_healthier(less: float, more: float) -> None:
    less, more = sorted((less, more))

    assert score(weekly_percent=more) <= score(weekly_percent=less)


def test_every_component_says_a_sentence_with_its_figure_and_source() -> None:
    health = assess(vitals(weekly_percent=42.0, weekly_source="window"), HealthWeights())

    assert health.components[0].sentence == "42.0% of the week is used (window)."
    assert all(each.sentence.endswith(".") for each in health.components)
