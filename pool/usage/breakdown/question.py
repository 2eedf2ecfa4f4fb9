"""The question that a breakdown of usage answers: by what, and of which time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

from pool.errors import InvalidRequest
from pool.values import Instant, Value

MOST_GROUPINGS = 3
LONGEST_RANGE = timedelta(days=366)
DEFAULT_RANGE = timedelta(days=7)
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""Before any usage, and far enough from the first day of the calendar to count back from."""


class Grouping(StrEnum):
    """What usage is summed by. Days are those of UTC; a key has its name."""

    DAY = "day"
    BLOCK = "block"
    MODEL = "model"
    SESSION = "session"
    KEY = "key"
    SUBSCRIPTION = "subscription"


TAG = "tag:"
_Tag = Annotated[str, StringConstraints(pattern="^tag:.", max_length=len(TAG) + 100)]


def parse_grouping(text: str) -> Grouping | str:
    """A grouping as it is written. ``ValueError`` for one that there is not."""
    if text.startswith(TAG) and text != TAG:
        return text
    try:
        return Grouping(text)
    except ValueError:
        known = ", ".join(each.value for each in Grouping)
        raise ValueError(f"{text!r} is none of {known} or tag:KEY") from None


GroupBy = Annotated[Grouping | _Tag, BeforeValidator(parse_grouping)]
"""What usage is summed by. ``tag:KEY``: by the values of a key of the requests' metadata, one that
``pool.tags`` names."""


def check_tags(group_by: Iterable[GroupBy], kept: Sequence[str]) -> None:
    """``InvalidRequest`` for a tag that records do not keep."""
    for each in group_by:
        if not isinstance(each, Grouping) and each.removeprefix(TAG) not in kept:
            named = f"it names {', '.join(kept)}" if kept else "it names none"
            raise InvalidRequest(
                "group_by", f"asks for {each!r}, which pool.tags does not: {named}"
            )


_OF_BLOCKS: frozenset[GroupBy] = frozenset(
    {Grouping.DAY, Grouping.BLOCK, Grouping.MODEL, Grouping.SUBSCRIPTION}
)
"""What the totals of blocks know."""


class Question(Value):
    """A question for a breakdown of usage: records with ``since <= timestamp < until``."""

    group_by: tuple[GroupBy, ...]
    since: Instant
    until: Instant
    tenant: str | None = None
    """Of whom; None for everybody."""
    by_totals: bool = False
    """Whether the totals of blocks suffice, and no record is read."""

    @property
    def blocks_can_tell(self) -> bool:
        """Whether the totals of blocks know what is asked for."""
        return self.tenant is None and {*self.group_by} <= _OF_BLOCKS

    @property
    def needs_records(self) -> bool:
        """Whether it is told by records alone, however many there are in the range."""
        return Grouping.SESSION in self.group_by and not self.by_totals


def question(
    group_by: Sequence[GroupBy],
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    tenant: str | None = None,
    *,
    by_totals: bool = False,
) -> Question:
    """A question that can be answered: the last seven days where nothing else is said.

    ``InvalidRequest`` for groupings or a range that make no sense, or too much of one, and for
    groupings that the totals of blocks do not know where these are asked alone.
    """
    if not 1 <= len(group_by) <= MOST_GROUPINGS:
        raise InvalidRequest("group_by", f"has {len(group_by)} groupings: name 1 to 3")
    try:
        groupings = tuple(parse_grouping(each) for each in group_by)
    except ValueError as error:
        raise InvalidRequest("group_by", str(error)) from None
    if len({*groupings}) < len(groupings):
        raise InvalidRequest("group_by", "names a grouping twice: name each once")
    end = now if until is None else until
    if end < _EARLIEST:
        raise InvalidRequest("until", "lies before 1971: there was no usage")
    begin = end - DEFAULT_RANGE if since is None else since
    if begin >= end:
        raise InvalidRequest("since", "does not lie before until (which is now, if left out)")
    if end - begin > LONGEST_RANGE:
        problem = f"lies more than {LONGEST_RANGE.days} days before until: ask in parts"
        raise InvalidRequest("since", problem)
    asked = Question(group_by=groupings, since=begin, until=end, tenant=tenant, by_totals=by_totals)
    if by_totals and not asked.blocks_can_tell:
        problem = "knows no sessions, keys and tags, nor what is whose: leave it out for those"
        raise InvalidRequest("by_totals", problem)
    return asked
