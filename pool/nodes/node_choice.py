"""The choice of a node for a subscription: those where it can be, the best first, or why none can.

A directory that is named is where it is: it is made nowhere, for an empty one is no login. A
credential in a variable is wherever that is set; of those nodes the best is where the subscription
was last, for there its transcripts are, and then the one with the fewest subscriptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from pydantic import Field

from pool.nodes.clocks import problem
from pool.nodes.inventory import Inventory
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import Value


class Candidate(Value):
    """A node that lives, as it is asked about its place."""

    name: str
    """Ray's id of it."""
    address: str
    labels: dict[str, str] = Field(default_factory=dict)
    inventory: Inventory | None
    """None where it did not say."""
    subscriptions: int = 0
    """How many are there already."""
    clock_ahead: timedelta = timedelta()
    """Of that of the router's node."""

    def __str__(self) -> str:
        return f"{self.inventory.hostname if self.inventory else self.address} ({self.address})"


class Placed(Value):
    """Where a subscription can be."""

    names: tuple[str, ...]
    """The best first."""
    anywhere: bool
    """Whether that is every node."""


class Unplaced(Value):
    """Why a subscription can be nowhere."""

    field: str
    reason: str


def place(spec: SubscriptionSpec, nodes: Sequence[Candidate]) -> Placed | Unplaced:
    """Where a subscription can be, of the nodes that live."""
    wished = [each for each in nodes if spec.node is None or is_called(each, spec.node)]
    if not wished:
        known = ", ".join(f"{each} {_names(each)}" for each in nodes) or "none lives"
        return Unplaced(field="node", reason=f"no node is called {spec.node!r}: {known}")
    missing = {each.name: tuple(_missing(spec, each)) for each in wished}
    able = [each for each in wished if not missing[each.name]]
    if not able:
        field = next((field for lacks in missing.values() for field, _ in lacks), "node")
        lacks = "; ".join(
            f"{each}: {', '.join(what for _, what in missing[each.name])}" for each in wished
        )
        return Unplaced(field=field, reason=f"no node has what it needs: {lacks}")
    logins = _logins(spec, able)
    if len(set(logins.values())) > 1:
        names = ", ".join(map(str, (each for each in able if each.name in logins)))
        two = f"{spec.config_dir} is there on several nodes with different logins, {names}"
        return Unplaced(
            field="config_dir", reason=f"{two}: name its node, or remove what is not it"
        )
    if logins:  # what is a directory and no login was made by mistake
        able = [each for each in able if each.name in logins]
    ranked = sorted(able, key=lambda each: (-_last_epoch(spec, each), each.subscriptions))
    return Placed(names=tuple(each.name for each in ranked), anywhere=len(ranked) == len(nodes))


def is_called(node: Candidate, name: str) -> bool:
    """Whether a node bears a name: its own for good, its host's, or a label ``key=value``."""
    return name in _names(node)


def _names(node: Candidate) -> tuple[str, ...]:
    known = node.inventory
    own = () if known is None else (known.node_id, known.hostname)
    return (*own, node.address, *(f"{key}={value}" for key, value in sorted(node.labels.items())))


def _missing(spec: SubscriptionSpec, node: Candidate) -> Iterator[tuple[str, str]]:
    """What a node lacks, each with the field that asks for it."""
    known = node.inventory
    if known is None:
        yield "node", "it does not answer"
        return
    if (wrong := problem(node.clock_ahead)) is not None:
        yield "node", wrong
    if spec.config_dir is not None and str(spec.config_dir) not in known.directories:
        yield "config_dir", f"{spec.config_dir} is no directory"
    if spec.credential is not None and spec.credential.environment_name not in known.variables:
        yield "credential", f"the variable {spec.credential.environment_name} is not set"


def _logins(spec: SubscriptionSpec, nodes: Sequence[Candidate]) -> Mapping[str, str]:
    """The logins by node, for a subscription that signs in by a login."""
    if spec.config_dir is None or spec.credential is not None:
        return {}
    found = {
        each.name: each.inventory.directories.get(str(spec.config_dir))
        for each in nodes
        if each.inventory is not None
    }
    return {name: login for name, login in found.items() if login is not None}


def _last_epoch(spec: SubscriptionSpec, node: Candidate) -> int:
    return 0 if node.inventory is None else node.inventory.activations.get(spec.id, 0)
