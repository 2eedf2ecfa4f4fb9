"""Calls of the API outside the pool that were counted already. Does no I/O.

Two witnesses tell of one call. The session's transcript names the answer, and as a rule the
request; Claude Code's telemetry names the request, where the API gave it an id. So two records are
of one call if they name the same answer; or, one of each witness, the same request; or, where not
both name a request, if they agree on the model and on every count, and their times are near. By
that last rule a record stands for one other at most: who asks the same thing twice counts twice
by each witness.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from pool.usage.model_names import by_base_name
from pool.usage.records import Call, UsageRecord

PREFIX = "outside:"
NEAR = timedelta(seconds=30)
"""Between the last block of an answer in a transcript and the end of its request in telemetry lie
milliseconds; an answer's first block may be older than that by as long as the answer took."""

_Likeness = tuple[tuple[str, int, int, int, int], ...]


class KnownCalls:
    """The calls that were counted, by everything that names them."""

    def __init__(self, records: Iterable[UsageRecord] = ()) -> None:
        self._records: dict[str, UsageRecord] = {}
        self._answers: dict[str, UsageRecord] = {}
        self._requests: dict[str, UsageRecord] = {}
        self._unpaired: dict[_Likeness, list[UsageRecord]] = defaultdict(list)
        for record in records:
            self.add(record)

    def add(self, record: UsageRecord) -> None:
        """A record was counted."""
        self._note(record, record)
        self._unpaired[_likeness(record)].append(record)

    def take(self, record: UsageRecord) -> bool:
        """Whether a record is of a call that was counted; what names it here is then known, too."""
        counted = self._named(record) or self._paired(record)
        if counted is None:
            return False
        self._note(record, counted)
        return True

    def forget(self, before: datetime) -> None:
        """Those of which nobody tells any more."""
        for named in (self._records, self._answers, self._requests):
            for name in [name for name, each in named.items() if each.timestamp < before]:
                del named[name]
        for likeness, alike in list(self._unpaired.items()):
            alike[:] = [each for each in alike if each.timestamp >= before]
            if not alike:
                del self._unpaired[likeness]

    def _note(self, record: UsageRecord, counted: UsageRecord) -> None:
        call = _call(record)
        self._records[record.id] = counted
        if call.message_id is not None:
            self._answers[call.message_id] = counted
        for id_ in call.request_ids:
            self._requests.setdefault(id_, counted)

    def _named(self, record: UsageRecord) -> UsageRecord | None:
        """What was counted under the same name by the same witness."""
        return self._records.get(record.id) or self._answers.get(_call(record).message_id or "")

    def _paired(self, record: UsageRecord) -> UsageRecord | None:
        """What was counted when the other source showed it."""
        call = _call(record)
        named = (self._requests.get(id_) for id_ in call.request_ids)
        alike = self._unpaired.get(_likeness(record), ())
        found = next((each for each in named if each and _from_each(record, each)), None)
        found = found or next((each for each in alike if _may_be_one(record, each)), None)
        if found is not None and found in (unpaired := self._unpaired[_likeness(found)]):
            unpaired.remove(found)
        return found


def _call(record: UsageRecord) -> Call:
    """By what a record names its call. Older ones have but an id that was made of it: the
    request's, or the message's.
    """
    if record.call is not None:
        return record.call
    name = record.id.removeprefix(PREFIX)
    return Call(message_id=name) if name.startswith("msg_") else Call(request_ids=(name,))


def _from_each(one: UsageRecord, other: UsageRecord) -> bool:
    """Whether one is of a transcript, which names the answer, and one of telemetry."""
    return (_call(one).message_id is None) is not (_call(other).message_id is None)


def _may_be_one(one: UsageRecord, other: UsageRecord) -> bool:
    named_by_both = _call(one).request_ids and _call(other).request_ids
    near = abs(one.timestamp - other.timestamp) <= NEAR
    return near and not named_by_both and _from_each(one, other)


def _likeness(record: UsageRecord) -> _Likeness:
    return tuple(
        (
            name,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_creation_input_tokens,
            usage.cache_read_input_tokens,
        )
        for name, usage in by_base_name(record.usage.models).items()
    )
