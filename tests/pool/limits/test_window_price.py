from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pool.limits.window_price import Confidence, WindowPrice
from pool.money import nano_usd
from tests.support.values.windowed import Account

SHARES = st.lists(st.floats(0.05, 4.0), min_size=10, max_size=120)
"""What runs fill of a window, in percent."""


def used(usd_per_percent: float, shares: list[float]) -> Account:
    account = Account(usd_per_percent=usd_per_percent)
    for share in shares:
        if account.percent + share >= 100:
            account.reset()
        account.run(share * usd_per_percent)
    return account


@given(st.floats(0.01, 20.0), SHARES)
def test_a_planted_price_is_learned_from_coarse_steps(price: float, shares: list[float]) -> None:
    window_price = used(price, shares).study().window_price

    assume(window_price is not None and window_price.strides >= 5)
    assert window_price is not None
    assert window_price.nano_usd_per_percent == pytest.approx(nano_usd(price), rel=0.15)


def test_many_small_runs_teach_the_price_to_a_few_percent() -> None:
    window_price = used(0.5, [0.25] * 390).study().window_price

    assert window_price is not None
    assert window_price.nano_usd_per_percent == pytest.approx(nano_usd(0.5), rel=0.05)
    assert window_price.confidence is Confidence.HIGH


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9, 1.3, 2.6])
def test_rounding_that_keeps_step_with_the_runs_does_not_shift_the_price(share: float) -> None:
    window_price = used(0.5, [share] * 150).study().window_price

    assert window_price is not None
    assert window_price.nano_usd_per_percent == pytest.approx(nano_usd(0.5), rel=0.03)


def test_no_price_is_known_before_a_stride_was_seen_to_its_end() -> None:
    assert used(0.5, [1.0, 1.0, 1.9]).study().window_price is None


def test_one_stride_is_a_price_of_low_confidence() -> None:
    window_price = used(0.5, [1.0, 1.0, 1.0, 1.0]).study().window_price

    assert window_price == WindowPrice(nano_usd(0.5), nano_usd(0.5), nano_usd(0.5), strides=1)
    assert window_price.confidence is Confidence.LOW


@given(st.floats(5, 30), st.integers(1, 3), st.integers(0, 3))
def test_bursts_of_others_hardly_move_the_price(percent: float, bursts: int, at: int) -> None:
    account = Account(usd_per_percent=0.5)
    for n in range(90):
        if account.percent + 1 + percent >= 100:
            account.reset()
        if n % 30 == 7 * at and n // 30 < bursts:
            account.others_use(percent)
        account.run(0.5)

    window_price = account.study().window_price

    assert window_price is not None
    assert window_price.nano_usd_per_percent == pytest.approx(nano_usd(0.5), rel=0.01)


def test_growth_while_nothing_was_spent_begins_a_new_stride() -> None:
    account = Account()
    for n in range(8):
        if n == 4:
            account.others_use(40)
            account.run(0)
        account.run(0.5)

    window_price = account.study().window_price

    assert window_price is not None
    assert (nano_usd(0.5), nano_usd(0.5), 2) == (
        window_price.lower_quartile,
        window_price.upper_quartile,
        window_price.strides,
    )


def test_a_reset_begins_a_new_stride() -> None:
    account = used(0.5, [1.0, 1.0])
    account.reset()
    account.run(3, timedelta(hours=1))

    assert account.study().window_price is None


def test_a_stride_whose_cost_an_adjustment_took_away_teaches_nothing() -> None:
    account = used(0.5, [1.0, 1.0, 1.0])
    account.spending.add(account.now, -nano_usd(9))
    account.run(0.5)

    assert account.study().window_price is None


def test_what_is_spent_when_the_window_is_full_does_not_make_it_dear() -> None:
    account = Account()
    for _ in range(110):
        account.run(0.5)

    window_price = account.study().window_price

    assert window_price is not None
    assert window_price.upper_quartile == nano_usd(0.5)
    assert window_price.strides == 32


@pytest.mark.parametrize(
    ("strides", "quartiles", "expected"),
    [
        (4, (100, 100), Confidence.LOW),
        (5, (80, 120), Confidence.MEDIUM),
        (5, (60, 140), Confidence.LOW),
        (15, (80, 120), Confidence.MEDIUM),
        (15, (90, 110), Confidence.HIGH),
    ],
)
def test_confidence_wants_many_strides_that_agree(
    strides: int, quartiles: tuple[int, int], expected: Confidence
) -> None:
    assert expected == WindowPrice(100, *quartiles, strides=strides).confidence
