"""The nodes of a pool as they are shown: what each is called, and what of the pool is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pool.nodes.clocks import problem
from pool.nodes.node_choice import Candidate
from pool.subscriptions.report import Report
from pool.values import Instant, Value


class Node(Value):
    """One node at this instant."""

    id: str | None
    """Its name for good, the same after any restart; null where it has never said it."""
    hostname: str | None
    address: str
    ray_node_id: str
    """What Ray calls it until its next start."""
    labels: dict[str, str]
    """Those it was started with; ``node`` of a subscription may be one, as ``key=value``."""
    alive: bool
    answers: bool
    """Whether it answers the question what it has."""
    answered_at: Instant | None = None
    """When it did for the last time; null where it never has."""
    silent_since: Instant | None = None
    """Since when one that lives has not, though it is asked."""
    problem: str | None = None
    """Why nothing is placed there, whatever it has: its clock is off; null where it is not."""
    subscriptions: tuple[str, ...]
    """The ids of those that are there now, or were at their last report."""
    running: int
    queued: int


class UnplacedSubscription(Value):
    """A subscription that no node can have, as it is configured."""

    subscription_id: str
    reason: str


class NodeList(Value):
    """Every node that is part of the pool's Ray, and what could be placed on none of them."""

    items: tuple[Node, ...]
    unplaced: tuple[UnplacedSubscription, ...] = ()
    next_cursor: None = None
    """There is one page."""


class KnownNode(Value):
    """A node that lives, or was seen to."""

    candidate: Candidate
    """As it said last."""
    alive: bool
    answered_at: Instant | None = None
    silent_since: Instant | None = None


def node_list(
    known: Iterable[KnownNode], reports: Iterable[Report], problems: Mapping[str, str]
) -> NodeList:
    """What is known of the nodes, with what subscriptions last said of themselves."""
    reports = tuple(reports)
    return NodeList(
        items=tuple(_node(each, reports) for each in known),
        unplaced=tuple(
            UnplacedSubscription(subscription_id=id_, reason=reason)
            for id_, reason in sorted(problems.items())
        ),
    )


def _node(known: KnownNode, reports: Iterable[Report]) -> Node:
    candidate, inventory = known.candidate, known.candidate.inventory
    name = None if inventory is None else inventory.node_id
    there = [each for each in reports if name is not None and each.node == name]
    work = Counter({"running": 0, "queued": 0})
    for each in there:
        work.update(running=each.running, queued=each.queued)
    return Node(
        id=name,
        hostname=None if inventory is None else inventory.hostname,
        address=candidate.address,
        ray_node_id=candidate.name,
        labels=candidate.labels,
        alive=known.alive,
        answers=known.alive and inventory is not None and known.silent_since is None,
        answered_at=known.answered_at,
        silent_since=known.silent_since,
        problem=problem(candidate.clock_ahead),
        subscriptions=tuple(each.id for each in there),
        running=work["running"],
        queued=work["queued"],
    )
