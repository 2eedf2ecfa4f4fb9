from __future__ import annotations

import pytest

from api.web.key_guesses import BURST, MOST_ADDRESSES, PER_SECOND, Guesses, TooManyGuesses


class Stopwatch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def guesses(timer: Stopwatch) -> Guesses:
    return Guesses(timer)


def spent(guesses: Guesses, address: str) -> None:
    for _ in range(BURST):
        guesses.check(address)
        guesses.count(address)


def test_an_address_has_so_many_in_a_row_and_others_have_their_own(guesses: Guesses) -> None:
    spent(guesses, "10.0.0.1")

    with pytest.raises(TooManyGuesses):
        guesses.check("10.0.0.1")
    guesses.check("10.0.0.2")


def test_the_clock_gives_them_back(guesses: Guesses, timer: Stopwatch) -> None:
    spent(guesses, "10.0.0.1")
    timer.now += 1 / PER_SECOND

    guesses.check("10.0.0.1")
    guesses.count("10.0.0.1")

    with pytest.raises(TooManyGuesses):
        guesses.check("10.0.0.1")


@pytest.mark.parametrize("other", ["2001:db8::2", "2001:db8::ffff:1"])
def test_the_addresses_of_one_network_are_one_owners(guesses: Guesses, other: str) -> None:
    spent(guesses, "2001:db8::1")

    with pytest.raises(TooManyGuesses):
        guesses.check(other)
    guesses.check("2001:db8:0:1::1")


def test_an_address_is_known_in_either_form(guesses: Guesses) -> None:
    spent(guesses, "::ffff:10.0.0.1")

    with pytest.raises(TooManyGuesses):
        guesses.check("10.0.0.1")


def test_what_is_remembered_is_bounded(guesses: Guesses) -> None:
    for n in range(MOST_ADDRESSES + 10):
        guesses.count(f"address-{n}")

    assert len(guesses._full_at) <= MOST_ADDRESSES
