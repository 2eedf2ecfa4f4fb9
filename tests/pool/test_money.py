from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.money import nano_usd, usd


@pytest.mark.parametrize(
    ("printed", "nano"),
    [
        (0.0006000000000000001, 600_000),
        (0.00043500000000000006, 435_000),
        (0.0018000000000000002, 1_800_000),
        ("25", 25_000_000_000),
        (0, 0),
        (1e-9, 1),
    ],
)
def test_the_floats_of_the_cli_become_exact_nano_dollars(printed: float | str, nano: int) -> None:
    assert nano == nano_usd(printed)


@given(st.integers(0, 10**15))
def test_nano_dollars_survive_being_shown_as_a_json_number(nano: int) -> None:
    assert nano == nano_usd(float(usd(nano)))


@given(st.lists(st.integers(0, 10**12)))
def test_a_sum_of_shown_amounts_is_the_shown_sum(amounts: list[int]) -> None:
    assert usd(sum(amounts)) == sum((usd(each) for each in amounts), Decimal(0))


def test_amounts_are_never_shown_in_exponent_form() -> None:
    assert [str(usd(100 * 10**9)), format(usd(1), "f")] == ["100", "0.000000001"]
