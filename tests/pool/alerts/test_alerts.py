from __future__ import annotations

from datetime import timedelta

from pool.alerts.alerts import SEVERITIES, AlertKind, alert_id, failover, session_moved
from tests.support.values.examples import NOON


def test_the_id_follows_from_what_happened_and_from_nothing_else() -> None:
    same = alert_id(AlertKind.COOLDOWN, "sub1", "1")

    others = {
        alert_id(AlertKind.COOLDOWN, "sub1", "2"),
        alert_id(AlertKind.COOLDOWN, "sub2", "1"),
        alert_id(AlertKind.NEEDS_LOGIN, "sub1", "1"),
    }
    assert same == alert_id(AlertKind.COOLDOWN, "sub1", "1")
    assert same not in others
    assert len(others) == 3


def test_an_outage_that_hits_many_executions_is_told_once_in_ten_minutes() -> None:
    storm = {
        failover("sub1", "overloaded", f"e{n}", NOON + timedelta(seconds=n)).id for n in range(600)
    }

    assert len(storm) == 1
    assert failover("sub1", "overloaded", "e", NOON + timedelta(minutes=10)).id not in storm
    assert failover("sub1", "usage_limit", "e", NOON).id not in storm
    assert failover("sub2", "overloaded", "e", NOON).id not in storm


def test_a_move_names_both_its_ends() -> None:
    moved = session_moved("s1", "sub1", "sub2", NOON)

    assert moved.data == {"session_id": "s1", "from": "sub1", "to": "sub2"}
    assert moved == session_moved("s1", "sub1", "sub2", NOON)
    assert moved.id != session_moved("s1", "sub1", "sub2", NOON + timedelta(seconds=1)).id


def test_every_kind_has_a_severity() -> None:
    assert set(SEVERITIES) == set(AlertKind)
