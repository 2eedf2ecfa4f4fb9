"""What somebody has chosen to see, and what a key makes of it.

A function of (view, key, snapshot): it changes nothing, but says what is to be done. Whatever
changes the pool is asked for a second time, with what it will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from api.cli.display.words import plural
from api.cli.top.snapshot import Snapshot
from pool.executions.execution import Execution
from pool.subscriptions.report import Report, SubscriptionState

PAGE = 10
T = TypeVar("T", Report, Execution)


class Key(StrEnum):
    """Keys that are no characters."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    TAB = "tab"
    ENTER = "enter"
    ESCAPE = "escape"
    OTHER = "other"


class Focus(StrEnum):
    SUBSCRIPTIONS = "subscriptions"
    EXECUTIONS = "executions"


@dataclass(frozen=True)
class Order:
    """Something that changes the pool."""

    question: str
    effect: str
    """What it will do, as a sentence."""
    path: str
    """Of the ``POST`` that does it."""
    done: str
    """What is said once it is done."""


class Quit:
    """Leave the screen."""


@dataclass(frozen=True)
class View:
    """Where the reader is. Chosen rows are named by their ids: lists change meanwhile."""

    focus: Focus = Focus.SUBSCRIPTIONS
    subscription_id: str | None = None
    execution_id: str | None = None
    explains: bool = False
    """Whether the chosen row is explained on a screen of its own."""
    scrolled: int = 0
    """How many lines of that are above the screen."""
    order: Order | None = None
    """What waits for a yes."""
    note: str = ""
    """What became of the last order."""


_MOVES = {
    Key.UP: -1,
    "k": -1,
    Key.DOWN: 1,
    "j": 1,
    Key.PAGE_UP: -PAGE,
    Key.PAGE_DOWN: PAGE,
    Key.HOME: -1_000_000,
    Key.END: 1_000_000,
}


def index_of(id_: str | None, items: Sequence[T]) -> int | None:
    """Where the chosen one stands; the first where nothing was chosen, or it is gone."""
    found = (number for number, each in enumerate(items) if each.id == id_)
    return next(found, 0) if items else None


def chosen_subscription(view: View, snapshot: Snapshot) -> Report | None:
    at = index_of(view.subscription_id, snapshot.reports)
    return None if at is None else snapshot.reports[at]


def chosen_execution(view: View, snapshot: Snapshot) -> Execution | None:
    at = index_of(view.execution_id, snapshot.executions)
    return None if at is None else snapshot.executions[at]


def pressed(view: View, key: str, snapshot: Snapshot) -> tuple[View, Order | Quit | None]:
    """The view after a key, and what is to be done."""
    if view.order is not None:
        return _answered(replace(view, order=None), key, view.order)
    view = replace(view, note="")
    if key == "q":
        return view, Quit()
    if view.explains:
        return _explaining(view, key, snapshot), None
    return _browsing(view, key, snapshot), None


def _answered(view: View, key: str, order: Order) -> tuple[View, Order | None]:
    """Nothing but y is a yes."""
    if key in {"y", "Y"}:
        return replace(view, note="..."), order
    return replace(view, note="Nothing was changed."), None


def _explaining(view: View, key: str, snapshot: Snapshot) -> View:
    if key in {Key.ESCAPE, Key.ENTER, "e"}:
        return replace(view, explains=False, scrolled=0)
    if key in _MOVES:
        return replace(view, scrolled=max(0, view.scrolled + _MOVES[key]))
    return _ordering(view, key, snapshot)


def _browsing(view: View, key: str, snapshot: Snapshot) -> View:
    if key in _MOVES:
        return _moved(view, _MOVES[key], snapshot)
    if key == Key.TAB:
        is_above = view.focus is Focus.SUBSCRIPTIONS
        return replace(view, focus=Focus.EXECUTIONS if is_above else Focus.SUBSCRIPTIONS)
    if key in {Key.ENTER, "e"}:
        return _pinned(replace(view, explains=True, scrolled=0), snapshot)
    return _ordering(view, key, snapshot)


def _moved(view: View, step: int, snapshot: Snapshot) -> View:
    if view.focus is Focus.SUBSCRIPTIONS:
        return replace(view, subscription_id=_other(view.subscription_id, snapshot.reports, step))
    return replace(view, execution_id=_other(view.execution_id, snapshot.executions, step))


def _other(id_: str | None, items: Sequence[T], step: int) -> str | None:
    at = index_of(id_, items)
    return None if at is None else items[min(max(0, at + step), len(items) - 1)].id


def _pinned(view: View, snapshot: Snapshot) -> View:
    """The chosen row by its id, so that what is read, or asked about, stays the same one."""
    return _moved(view, 0, snapshot)


def _ordering(view: View, key: str, snapshot: Snapshot) -> View:
    """Ask whether what a key stands for shall be done, or say why it cannot."""
    view = _pinned(view, snapshot)
    wanted: Order | str | None = None
    if view.focus is Focus.SUBSCRIPTIONS:
        if report := chosen_subscription(view, snapshot):
            wanted = _of_subscription(key, report)
    elif execution := chosen_execution(view, snapshot):
        wanted = _of_execution(key, execution)
    match wanted:
        case Order():
            return replace(view, order=wanted)
        case str():
            return replace(view, note=wanted)
        case None:
            return view


def _of_subscription(key: str, report: Report) -> Order | str | None:
    if key == "c":
        return "Executions are cancelled: tab chooses among them."
    if key not in _VERBS:
        return None
    rests = report.state in {SubscriptionState.PAUSED, SubscriptionState.DRAINING}
    if key == "r" and not rests and report.state is not SubscriptionState.COOLDOWN:
        return f"{report.id} takes work already, or waits for a limit or a login."
    if key != "r" and rests:
        return f"{report.id} is {report.state} already."
    verb, effect, done = _VERBS[key]
    load = f"{plural(report.running, 'run')} and {report.queued} waiting"
    return Order(
        question=f"{verb.capitalize()} {report.id}?",
        effect=effect.format(load=load),
        path=f"/v1/subscriptions/{report.id}/{verb}",
        done=f"{report.id} {done}.",
    )


_VERBS = {
    "p": (
        "pause",
        "It takes no new work until it is resumed. What it has goes on: {load}.",
        "is paused",
    ),
    "r": (
        "resume",
        "It takes new work at once, as far as its limits have room.",
        "takes work again",
    ),
    "d": (
        "drain",
        "It ends what it has ({load}) and takes nothing new: the step before it is removed.",
        "drains",
    ),
}


def _of_execution(key: str, execution: Execution) -> Order | str | None:
    if key in _VERBS:
        return "Subscriptions are paused, resumed and drained: tab chooses among them."
    if key != "c":
        return None
    if execution.status.is_final:
        return f"It has ended already: {execution.status}."
    return Order(
        question=f"Cancel {execution.id} on {execution.subscription_id}?",
        effect="Its run is stopped. What it has cost until then is counted; what it has written "
        "is lost.",
        path=f"/v1/executions/{execution.id}/cancel",
        done="It is cancelled.",
    )
