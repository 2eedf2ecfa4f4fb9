"""How nodes are shown."""

from __future__ import annotations

from datetime import timedelta

from pool.nodes.inventory import Inventory
from pool.nodes.node_choice import Candidate
from pool.nodes.overview import KnownNode, node_list


def known(clock_ahead: timedelta) -> KnownNode:
    inventory = Inventory(node_id="node-1", hostname="host1")
    candidate = Candidate(
        name="ray-1", address="10.0.0.1", inventory=inventory, clock_ahead=clock_ahead
    )
    return KnownNode(candidate=candidate, alive=True)


def test_a_node_whose_clock_keeps_subscriptions_from_it_says_so() -> None:
    clocks = (timedelta(), timedelta(seconds=30), timedelta(seconds=90))

    exact, tolerated, ahead = node_list(map(known, clocks), (), {}).items

    assert (exact.problem, tolerated.problem) == (None, None)
    assert ahead.problem == ("its clock is 90 s ahead of that of the router's node: set them (NTP)")
    assert ahead.answers
