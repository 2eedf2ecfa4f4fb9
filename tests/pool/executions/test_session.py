from datetime import timedelta

import pytest

from pool.executions.session import SessionAge, SessionHome, SessionMove, age_of, session_of
from tests.support.values.examples import NOON


@pytest.mark.parametrize(
    ("rested", "age"),
    [
        (timedelta(0), SessionAge.ACTIVE),
        (timedelta(seconds=299.9), SessionAge.ACTIVE),
        (timedelta(minutes=5), SessionAge.IDLE),
        (timedelta(minutes=59.9), SessionAge.IDLE),
        (timedelta(minutes=60), SessionAge.STALE),
        (timedelta(days=30), SessionAge.STALE),
        (timedelta(seconds=-1), SessionAge.ACTIVE),
    ],
)
def test_a_session_ages_while_it_rests(rested: timedelta, age: SessionAge) -> None:
    assert age == age_of(NOON, NOON + rested)


def test_a_session_is_shown_with_where_it_is_and_has_been() -> None:
    move = SessionMove(
        session_id="s", from_subscription_id="a", to_subscription_id="b", moved_at=NOON
    )
    home = SessionHome(session_id="s", subscription_id="c", used_at=NOON, fetch_from="b")

    shown = session_of(home, NOON + timedelta(minutes=6), [move])

    assert (shown.id, shown.subscription_id, shown.fetch_from) == ("s", "c", "b")
    assert (shown.state, shown.last_used_at, shown.moves) == (SessionAge.IDLE, NOON, (move,))
