"""Usage broken down: the sums of records by day, block, model, session, key, subscription or tag.

Everything here is a sum of integers, so that neither the order of records nor the number of
ledgers they come from matters, and the groups together are exactly the records of the range, be
they made of these or of the totals of periods that are kept with them (``period_sums``). A block
whose records retention has removed is taken from its total, which lives for ever: that knows its
day and its models, but no sessions, keys and tags, nor where a cost came from. What is covered, and
by which of the two, is said with every answer (G11); what neither knows exactly is left out and
shows as a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, assert_never

from pydantic import BeforeValidator, Field, StringConstraints

from pool.errors import InvalidRequest
from pool.money import Usd, usd
from pool.usage.blocks import block_at
from pool.usage.records import ModelUsage, UsageRecord, UsageSource
from pool.usage.totals import BlockTotal
from pool.values import Instant, Value

MOST_GROUPINGS = 3
MOST_GROUPS = 20_000
"""Of one answer: it is made in memory."""
LONGEST_RANGE = timedelta(days=366)
DEFAULT_RANGE = timedelta(days=7)
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""Before any usage, and far enough from the first day of the calendar to count back from."""

By = tuple[str | None, ...]
"""What a group has in common, in the order of the groupings; None where a record names none."""


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


class CostSource(StrEnum):
    """Where a cost comes from: as records say it, or a block's total, which does not say."""

    CLI = UsageSource.CLI.value
    PARTIAL = UsageSource.PARTIAL.value
    EXTERNAL = UsageSource.EXTERNAL.value
    OUTSIDE = UsageSource.OUTSIDE.value
    ADJUSTMENT = UsageSource.ADJUSTMENT.value
    BLOCKS = "blocks"


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


class Group(Value):
    """The sum of records that have something in common."""

    by: By
    records: int | None
    """A record of several models counts in each; None where a block's total does not say."""
    usage: ModelUsage
    nano_usd_by_source: dict[CostSource, int] = Field(default_factory=dict)

    def __add__(self, other: Group) -> Group:
        known = self.records is not None and other.records is not None
        ours, theirs = self.nano_usd_by_source, other.nano_usd_by_source
        return Group(
            by=self.by,
            records=(self.records or 0) + (other.records or 0) if known else None,
            usage=self.usage + other.usage,
            nano_usd_by_source={
                source: ours.get(source, 0) + theirs.get(source, 0)
                for source in CostSource
                if source in ours or source in theirs
            },
        )


NOTHING = Group(by=(), records=0, usage=ModelUsage())


def parts_of_record(group_by: Sequence[GroupBy], record: UsageRecord) -> Iterable[Group]:
    """What a record adds to which groups: one, or one a model."""
    for name, usage in _models(group_by, record.usage.models):
        yield Group(
            by=tuple(
                _name(each, record, name)
                if isinstance(each, Grouping)
                else record.tags.get(each.removeprefix(TAG))
                for each in group_by
            ),
            records=1,
            usage=usage,
            nano_usd_by_source={CostSource(record.source.value): usage.cost_nano_usd},
        )


def _name(grouping: Grouping, record: UsageRecord, model: str | None) -> str | None:
    match grouping:
        case Grouping.DAY:
            return day_of(record.timestamp)
        case Grouping.BLOCK:
            return block_at(record.timestamp).id
        case Grouping.MODEL:
            return model
        case Grouping.SESSION:
            return record.session_id
        case Grouping.KEY:
            return record.caller
        case Grouping.SUBSCRIPTION:
            return record.subscription_id
        case never:
            assert_never(never)


def parts_of_block(
    group_by: Sequence[GroupBy], subscription_id: str, block: BlockTotal
) -> Iterable[Group]:
    """What a block's total adds to which groups, none of which is a session, a key or a tag."""
    known: dict[GroupBy, str] = {
        Grouping.DAY: day_of(block.starts_at),  # a block lies within one day
        Grouping.BLOCK: block.block_id,
        Grouping.SUBSCRIPTION: subscription_id,
    }
    for name, usage in _models(group_by, block.usage.models):
        yield Group(
            by=tuple(name if each is Grouping.MODEL else known[each] for each in group_by),
            records=None if Grouping.MODEL in group_by else block.records,
            usage=usage,
            nano_usd_by_source={CostSource.BLOCKS: usage.cost_nano_usd},
        )


def day_of(instant: datetime) -> str:
    """The day of UTC that an instant falls in."""
    return instant.astimezone(UTC).date().isoformat()


def _models(
    group_by: Sequence[GroupBy], models: dict[str, ModelUsage]
) -> Iterable[tuple[str | None, ModelUsage]]:
    if Grouping.MODEL in group_by and models:
        return models.items()
    return [(None, sum(models.values(), ModelUsage()))]


class Sums:
    """Groups as they grow. ``InvalidRequest`` once they are too many for an answer."""

    def __init__(self) -> None:
        self._groups: dict[By, Group] = {}

    def add(self, parts: Iterable[Group]) -> None:
        for part in parts:
            known = self._groups.get(part.by)
            self._groups[part.by] = part if known is None else known + part
        if len(self._groups) > MOST_GROUPS:
            problem = f"makes more than {MOST_GROUPS} groups: ask for a shorter range or fewer"
            raise InvalidRequest("group_by", problem)

    def groups(self) -> tuple[Group, ...]:
        """In the order of what they have in common, what names nothing last."""
        return tuple(sorted(self._groups.values(), key=lambda group: _order(group.by)))


def _order(by: By) -> tuple[tuple[bool, str], ...]:
    return tuple((part is None, part or "") for part in by)


class CoveredSpan(Value):
    """A part of the range of which the sums of a subscription are exact, and their source."""

    subscription_id: str
    since: Instant
    until: Instant
    source: Literal["records", "blocks"]
    """`records`: these, or what was summed up of them as they were kept. `blocks`: their totals."""


class UsageTable(Value):
    """The answer of one ledger."""

    groups: tuple[Group, ...]
    total: Group
    covered: tuple[CoveredSpan, ...]
    tags: tuple[str, ...] = ()
    """The keys of metadata that it can be summed by."""


def covered(
    asked: Question,
    subscription_id: str,
    records_since: datetime,
    older: Sequence[BlockTotal],
    gaps: Sequence[tuple[datetime, datetime]] = (),
) -> tuple[CoveredSpan, ...]:
    """What is exact: from ``records_since`` on by records, but for ``gaps`` (oldest first); before
    that by the totals of ``older`` (newest first), except for those that an end of the range cuts.
    """
    spans = []
    edge = min(asked.until, records_since)
    if asked.blocks_can_tell and asked.since < edge:
        since = next((each.ends_at for each in older if each.starts_at < asked.since), asked.since)
        until = next((each.starts_at for each in older if each.ends_at > edge), edge)
        spans.append((since, until, "blocks"))
    since = max(asked.since, records_since)
    for begins_at, ends_at in gaps:
        spans.append((since, begins_at, "records"))
        since = ends_at
    spans.append((since, asked.until, "records"))
    return tuple(
        CoveredSpan.model_validate(
            {"subscription_id": subscription_id, "since": since, "until": until, "source": source}
        )
        for since, until, source in spans
        if since < until
    )


class UsageRow(Value):
    """One group as it is shown. Of the first seven fields it has those that were asked for; null
    where the records name none.
    """

    day: str | None = None
    """In UTC."""
    block: str | None = None
    model: str | None = None
    session: str | None = None
    key: str | None = None
    """The name of the caller's key."""
    subscription: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    """By the key of the metadata."""
    records: int | None
    """How many records; one of several models counts in each. Null: only totals by block are left,
    which do not say."""
    cost_usd: Usd
    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    cost_usd_by_source: dict[CostSource, Usd]
    """Where the cost comes from; `blocks` is what only the totals of blocks still hold."""


class UsageBreakdown(Value):
    """Usage of the pool, broken down. The rows add up to the total exactly."""

    group_by: tuple[GroupBy, ...]
    since: Instant
    until: Instant
    is_complete: bool
    """Whether the whole range is covered, for every subscription."""
    items: tuple[UsageRow, ...]
    total: UsageRow
    covered: tuple[CoveredSpan, ...]
    """What the sums are exact for, by subscription; anything else is in none of them."""
    tags: tuple[str, ...] = ()
    """What else it can be summed by: the keys of metadata that ``pool.tags`` names."""


def part_of(row: UsageRow, grouping: GroupBy) -> str | None:
    """What a row has in common by a grouping."""
    if isinstance(grouping, Grouping):
        part: str | None = getattr(row, grouping.value)
        return part
    return row.tags.get(grouping.removeprefix(TAG))


def breakdown(asked: Question, tables: Sequence[UsageTable]) -> UsageBreakdown:
    """The answers of all ledgers as one."""
    sums = Sums()
    for table in tables:
        sums.add(table.groups)
    spans = tuple(span for table in tables for span in table.covered)
    covered = sum((span.until - span.since for span in spans), timedelta())
    return UsageBreakdown(
        group_by=asked.group_by,
        since=asked.since,
        until=asked.until,
        is_complete=covered == (asked.until - asked.since) * len(tables),
        items=tuple(_row(asked.group_by, group) for group in sums.groups()),
        total=_row((), sum((table.total for table in tables), NOTHING)),
        covered=spans,
        tags=tuple(sorted({tag for table in tables for tag in table.tags})),
    )


def _row(group_by: Sequence[GroupBy], group: Group) -> UsageRow:
    common: dict[str, Any] = {}
    for each, part in zip(group_by, group.by, strict=True):
        if isinstance(each, Grouping):
            common[each.value] = part
        else:
            common.setdefault("tags", {})[each.removeprefix(TAG)] = part
    by_source = group.nano_usd_by_source.items()
    return UsageRow.model_validate(
        {
            **common,
            "records": group.records,
            "cost_usd": usd(group.usage.cost_nano_usd),
            **group.usage.model_dump(exclude={"cost_nano_usd"}),
            "cost_usd_by_source": {source: usd(nano) for source, nano in by_source},
        }
    )
