from datetime import timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.values.examples import NOON
from tests.support.values.windowed import Account

SHARES = st.lists(st.floats(0.05, 3.0), max_size=150)


def learned_account() -> Account:
    """A period that taught the price, and the next one, just begun."""
    account = Account(usd_per_percent=0.5)
    for _ in range(95):
        account.run(0.5)
    account.reset()
    return account


def outside_percent(account: Account) -> float | None:
    found = account.study().outside
    return None if found is None else found.percent


@given(st.floats(0.01, 20.0), SHARES)
def test_no_use_outside_is_claimed_where_there_was_none(price: float, shares: list[float]) -> None:
    account = Account(usd_per_percent=price)
    for share in shares:
        if account.percent + share >= 100:
            account.reset()
        account.run(share * price)
    assume(account.events)

    assert outside_percent(account) in {None, 0.0}


@given(st.floats(15, 60), st.integers(1, 30))
def test_a_planted_use_outside_is_found_as_a_lower_bound(percent: float, runs: int) -> None:
    account = learned_account()
    account.others_use(percent)
    for _ in range(runs):
        account.run(0.5)

    found = outside_percent(account)

    assert found is not None
    assert percent - 2 - 0.12 * runs <= found <= percent


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 3)), min_size=1, max_size=40))
def test_use_outside_is_never_negative_and_never_more_than_was_used(
    steps: list[tuple[float, float]],
) -> None:
    account = learned_account()
    for others, cost in steps:
        account.others_use(others)
        account.run(cost)

    found = outside_percent(account)

    assert found is not None
    assert 0 <= found <= min(100, account.percent + 0.1)


def test_before_a_price_is_known_growth_while_nothing_was_spent_was_outside() -> None:
    account = Account()
    account.run(0)
    account.others_use(30)
    account.run(0, timedelta(minutes=30))
    account.run(0.5)

    found = account.study().outside

    assert found is not None
    assert (
        found.percent,
        found.evidence,
        found.since,
    ) == (30.0, "grew by 30% while the pool spent nothing", NOON)


def test_what_was_used_before_the_pool_first_spent_in_a_window_was_outside() -> None:
    account = Account()
    account.others_use(20)
    account.run(0)

    assert outside_percent(account) == 20.0


def test_before_a_price_is_known_growth_beside_own_spending_is_unknown() -> None:
    account = Account()
    account.others_use(20)
    account.run(0.5)

    assert account.study().outside is None


def test_a_run_that_cost_something_a_moment_before_does_not_make_growth_look_outside() -> None:
    account = Account()
    account.run(0.4)
    account.percent += 1  # Anthropic counts it late
    account.run(0)

    assert account.study().outside is None


def test_a_reset_begins_with_nothing_used_outside() -> None:
    account = learned_account()
    account.others_use(50)
    account.run(0.5)
    assert (outside_percent(account) or 0) > 45

    account.reset()
    account.run(0.5)

    assert outside_percent(account) == 0.0


def test_what_was_used_outside_in_an_earlier_period_is_not_held_against_this_one() -> None:
    account = Account()
    account.others_use(30)
    account.run(0)
    assert outside_percent(account) == 30.0

    account.reset()
    account.run(0)

    assert account.study().outside is None


def test_a_price_of_low_confidence_accuses_nobody() -> None:
    account = Account()
    for _ in range(4):
        account.run(0.5)
    account.others_use(30)
    account.run(0.5)

    assert account.study().window_price is not None
    assert account.study().outside is None


def test_the_evidence_says_what_the_pool_s_own_cost_explains() -> None:
    account = learned_account()
    account.others_use(30)
    for _ in range(10):
        account.run(0.5)

    found = account.study().outside

    assert found is not None
    assert found.evidence == (
        "40% is used; the pool's own 5.00 USD explain 10.0%, at most 11.1% (high confidence)"
    )
    assert (27.9, account.starts_at, account.now) == (
        found.percent,
        found.since,
        found.observed_at,
    )
