"""``/v1/usage``: what was used by day, block, model, session, key, subscription or tag, as one JSON
answer, or as lines of CSV or JSON for other programs; and one's own at a glance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, assert_never

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api.web.authentication import MayLook, ways_to_present_a_key
from api.web.problems.problem import Responses, documented
from api.web.request.arguments import Client
from api.web.usage_lines import csv_lines, json_lines
from pool.executions.request import SubscriptionId
from pool.keys.own_usage import OwnUsage
from pool.usage.breakdown.breakdown import UsageBreakdown
from pool.usage.breakdown.question import MOST_GROUPINGS, GroupBy, Grouping
from pool.values import Instant

LINES_AT_ONCE = 500


class Form(StrEnum):
    """The form of the answer."""

    JSON = "json"
    CSV = "csv"
    JSON_LINES = "jsonl"


_MEDIA_TYPES = {
    "application/json": Form.JSON,
    "text/csv": Form.CSV,
    "application/x-ndjson": Form.JSON_LINES,
}
_LINE: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/UsageRow"}}
_ANSWER: Responses = {
    200: {
        "description": "Usage, broken down; in CSV and JSON lines a line holds one row. There the "
        "header `Usage-Complete` says whether the whole range is covered.",
        "content": {"text/csv": _LINE, "application/x-ndjson": _LINE},
    }
}

routes = APIRouter(
    prefix="/v1/usage",
    tags=["usage"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 404, 422, 500, 503),
)


@routes.get("", response_model=UsageBreakdown, responses=_ANSWER)
async def usage(
    *,
    client: Client,
    _: MayLook,
    group_by: Annotated[
        list[GroupBy],
        Query(
            min_length=1,
            max_length=MOST_GROUPINGS,
            description="Repeat it for up to three, once. `tag:KEY` is by a key of the requests' "
            "metadata that `pool.tags` names.",
        ),
    ] = [Grouping.DAY],  # noqa: B006 - FastAPI copies it
    since: Annotated[
        Instant | None, Query(description="Absent: seven days before `until`.")
    ] = None,
    until: Annotated[Instant | None, Query(description="Absent: now.")] = None,
    subscription_id: Annotated[
        SubscriptionId | None, Query(description="Absent: all there are.")
    ] = None,
    by_totals: Annotated[
        bool,
        Query(
            description="Add up the totals of blocks, which outlive the records. Blocks that an "
            "end of the range cuts are left out; days begin and end one."
        ),
    ] = False,
    written_as: Annotated[
        Form | None, Query(alias="format", description="Absent: as the `Accept` header asks.")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Sums of the usage of the key's tenant, or for `read_all` of everybody's, with
    `since <= timestamp < until`, at most 366 days, sorted. Where records have been removed, the
    totals of whole blocks answer for days, blocks and models, of everybody's; `covered` says what
    the sums are exact for.
    """
    found = await client.usage_by(
        group_by,
        since=since,
        until=until,
        subscription_id=subscription_id,
        by_totals=by_totals,
    )
    return _written(found, written_as or _wanted(accept))


@routes.get("/own")
async def own(client: Client, caller: MayLook) -> OwnUsage:
    """What the key's tenant has used today, in this block and in the last seven days, by model, and
    what is left of the key's own budgets.
    """
    return await client.own_usage(caller=caller.name)


def _wanted(accept: str) -> Form:
    """The form that an Accept header likes best; JSON where it names none."""
    liked = [(much, name) for much, name in map(_liking, accept.split(",")) if much > 0]
    known = [(much, _MEDIA_TYPES[name]) for much, name in liked if name in _MEDIA_TYPES]
    return max(known, key=lambda each: each[0], default=(0.0, Form.JSON))[1]


def _liking(part: str) -> tuple[float, str]:
    name, *parameters = (each.strip().lower() for each in part.split(";"))
    quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return float(quality), name
    except ValueError:
        return 0.0, name


def _written(found: UsageBreakdown, form: Form) -> Response:
    match form:
        case Form.JSON:
            body = found.model_dump_json(exclude_unset=True)
            return Response(body, media_type="application/json")
        case Form.CSV:
            return _streamed(found, csv_lines(found), "text/csv; charset=utf-8", "usage.csv")
        case Form.JSON_LINES:
            return _streamed(found, json_lines(found), "application/x-ndjson", "usage.jsonl")
        case never:
            assert_never(never)


def _streamed(
    found: UsageBreakdown, lines: Iterable[str], media_type: str, name: str
) -> StreamingResponse:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Usage-Complete": "true" if found.is_complete else "false",
    }
    return StreamingResponse(_chunks(lines), headers=headers, media_type=media_type)


def _chunks(lines: Iterable[str]) -> Iterator[str]:
    rest = iter(lines)
    while chunk := "".join(islice(rest, LINES_AT_ONCE)):
        yield chunk
