from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.nodes.inventory import Inventory
from pool.nodes.node_choice import Candidate, Placed, Unplaced, place
from tests.support.values.examples import spec

LOGIN = Path("/home/pool/.claude-sub1")
TOKEN = spec()
"""It has its credential in a variable."""
SIGNS_IN = spec(config_dir=LOGIN, credential=None)


def node(name: str, *, subscriptions: int = 0, **has: Any) -> Candidate:
    """One whose host is called as it is."""
    labels, clock = has.pop("labels", {}), has.pop("clock_ahead", timedelta())
    has = {"variables": frozenset({"SUB_TOKEN"}), **has}
    return Candidate(
        name=f"ray-{name}",
        address=f"10.0.0.{name[-1]}",
        labels=labels,
        inventory=Inventory(node_id=f"node-{name}", hostname=name, **has),
        subscriptions=subscriptions,
        clock_ahead=clock,
    )


def placed(*names: str, anywhere: bool = True) -> Placed:
    return Placed(names=tuple(f"ray-{name}" for name in names), anywhere=anywhere)


def has_login(account: str | None) -> dict[str, str | None]:
    return {str(LOGIN): account}


def test_a_directory_ties_a_subscription_to_the_node_that_has_it() -> None:
    nodes = [node("host1"), node("host2", directories=has_login("a"), subscriptions=9)]

    assert place(SIGNS_IN, nodes) == placed("host2", anywhere=False)


def test_a_directory_on_no_node_is_told_with_every_node() -> None:
    found = place(SIGNS_IN, [node("host1"), node("host2")])

    assert found == Unplaced(
        field="config_dir",
        reason=f"no node has what it needs: host1 (10.0.0.1): {LOGIN} is no directory; "
        f"host2 (10.0.0.2): {LOGIN} is no directory",
    )


def test_different_logins_on_two_nodes_are_told() -> None:
    nodes = [node(f"host{n}", directories=has_login(f"account-{n}")) for n in (1, 2)]

    found = place(SIGNS_IN, nodes)

    assert isinstance(found, Unplaced)
    assert found.field == "config_dir"
    assert "several nodes with different logins, host1 (10.0.0.1), host2 (10.0.0.2)" in found.reason
    assert place(spec(config_dir=LOGIN, credential=None, node="host2"), nodes) == placed(
        "host2", anywhere=False
    )


def test_with_a_credential_of_its_own_the_logins_of_directories_do_not_matter() -> None:
    nodes = [node(f"host{n}", directories=has_login(f"account-{n}")) for n in (1, 2)]

    assert place(spec(config_dir=LOGIN), nodes) == placed("host1", "host2")


def test_one_login_on_two_nodes_may_be_on_either() -> None:
    nodes = [node(f"host{n}", directories=has_login("a")) for n in (1, 2)]

    assert place(SIGNS_IN, nodes) == placed("host1", "host2")


def test_an_empty_directory_is_not_taken_for_the_login() -> None:
    nodes = [
        node("host1", directories=has_login(None)),
        node("host2", directories=has_login("a")),
    ]

    assert place(SIGNS_IN, nodes) == placed("host2", anywhere=False)


def test_a_token_floats_to_where_its_transcripts_are() -> None:
    nodes = [
        node("host1"),
        node("host2", activations={"sub1": 4}),
        node("host3", activations={"sub1": 7}, subscriptions=50),
    ]

    assert place(TOKEN, nodes) == placed("host3", "host2", "host1")


def test_a_new_one_goes_where_the_fewest_are() -> None:
    nodes = [node("host1", subscriptions=2), node("host2", subscriptions=1)]

    assert place(TOKEN, nodes) == placed("host2", "host1")


def test_a_token_goes_only_where_its_variable_is_set() -> None:
    nodes = [node("host1", variables=frozenset()), node("host2")]

    assert place(TOKEN, nodes) == placed("host2", anywhere=False)


def test_a_variable_that_is_set_nowhere_is_told() -> None:
    found = place(TOKEN, [node("host1", variables=frozenset())])

    assert isinstance(found, Unplaced)
    assert (found.field, "the variable SUB_TOKEN is not set" in found.reason) == (
        "credential",
        True,
    )


@pytest.mark.parametrize("name", ["host2", "node-host2", "10.0.0.2", "zone=b"])
def test_a_node_is_wished_for_by_any_of_its_names(name: str) -> None:
    nodes = [node("host1", labels={"zone": "a"}), node("host2", labels={"zone": "b"})]

    assert place(spec(node=name), nodes) == placed("host2", anywhere=False)


def test_a_name_that_no_node_bears_is_told_with_those_that_there_are() -> None:
    found = place(spec(node="gpu=yes"), [node("host1", labels={"zone": "a"})])

    assert isinstance(found, Unplaced)
    assert found.field == "node"
    assert "no node is called 'gpu=yes': host1 (10.0.0.1)" in found.reason
    assert "zone=a" in found.reason


def test_a_node_that_does_not_answer_is_passed_over_and_told() -> None:
    silent = Candidate(name="ray-host9", address="10.0.0.9", inventory=None)

    assert place(TOKEN, [silent, node("host1")]) == placed("host1", anywhere=False)
    found = place(TOKEN, [silent])
    assert isinstance(found, Unplaced)
    assert "10.0.0.9 (10.0.0.9): it does not answer" in found.reason


def test_a_node_whose_clock_is_a_minute_off_has_nobody() -> None:
    behind = node("host2", activations={"sub1": 9}, clock_ahead=timedelta(seconds=-61))

    assert place(TOKEN, [node("host1"), behind]) == placed("host1", anywhere=False)
    assert place(TOKEN, [behind]) == Unplaced(
        field="node",
        reason="no node has what it needs: host2 (10.0.0.2): its clock is 61 s behind that of the "
        "router's node: set them (NTP)",
    )
