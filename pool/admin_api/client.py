"""Fetches the reports: all pages of one, or the reason why not.

The key goes into one header and nowhere else: no log line, no message, no ``repr`` has it, and a
redirect, which could carry it to another host, is not followed. Bodies, pages, tries and waits are
bounded. Busy and broken servers are asked again with growing, jittered pauses; ``Retry-After`` is
obeyed as long as it is short, and otherwise left to the next regular poll.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

import httpx

from pool.admin_api.pace import Sleep
from pool.admin_api.problems import Unusable
from pool.admin_api.reports import (
    CostBucket,
    PersonUsage,
    UsageBucket,
    cost_buckets,
    people,
    usage_buckets,
)
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.values import instant_text

TIMEOUT = httpx.Timeout(60, connect=10)
"""A page of a month takes seconds."""
MAX_PAGE_BYTES = 16 * 1024 * 1024
MAX_PAGES = 1_000
TRIES = 4
LONGEST_WAIT_SECONDS = 120.0
"""Longer than that, the next regular poll comes anyway."""
FIRST_PAUSE_SECONDS = 1.0
BUSY_PAUSE_SECONDS = 60.0
"""After a 429 that does not say how long."""
MAX_SKEW = timedelta(minutes=5)
"""Less than what reports are waited for, so that an hour that has ended here has ended there."""
HOURS_A_PAGE = 168
DAYS_A_PAGE = 31
PEOPLE_A_PAGE = 1_000

Row = TypeVar("Row")
Params = list[tuple[str, str | int | float | bool | None]]

_REMEDIES: dict[int, tuple[ProblemKind, str]] = {
    401: (ProblemKind.UNAUTHORIZED, "the admin key is not accepted: make a new one, and set it"),
    403: (ProblemKind.FORBIDDEN, "the key may not read this: it takes an organization's admin key"),
    404: (
        ProblemKind.NOT_FOUND,
        "there is no such report here: does the organization have access to the Admin API?",
    ),
    429: (ProblemKind.RATE_LIMITED, "too many requests with this key: it is tried again later"),
}


class _Page(NamedTuple):
    data: list[Any]
    next_page: str | None


class AdminApi:
    """One organization's reports, by its admin key."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        key: str,
        *,
        turn: Callable[[], Awaitable[None]],
        clock: Callable[[], datetime],
        sleep: Sleep,
    ) -> None:
        """``http`` has the base URL; ``turn`` returns when the next poll may go out."""
        self._http = http
        self._headers = {
            "x-api-key": key,
            "anthropic-version": "2023-06-01",
            "user-agent": f"claude-subscription-pool/{version('claude-subscription-pool')}",
        }
        self._turn = turn
        self._clock = clock
        self._sleep = sleep

    async def usage(
        self,
        since: datetime,
        until: datetime,
        *,
        api_key_ids: tuple[str, ...] = (),
        workspace_ids: tuple[str, ...] = (),
    ) -> tuple[UsageBucket, ...] | ReportProblem:
        """Tokens by model for each hour with ``since <= hour < until``."""
        params: Params = [
            *_span(since, until),
            *(("bucket_width", "1h"), ("limit", str(HOURS_A_PAGE)), ("group_by[]", "model")),
            *(("api_key_ids[]", each) for each in api_key_ids),
            *(("workspace_ids[]", each) for each in workspace_ids),
        ]
        return await self._report("usage_report/messages", params, usage_buckets)

    async def costs(
        self, since: datetime, until: datetime
    ) -> tuple[CostBucket, ...] | ReportProblem:
        """Dollars by workspace and model for each UTC day with ``since <= day < until``."""
        params: Params = [
            *_span(since, until),
            *(("bucket_width", "1d"), ("limit", str(DAYS_A_PAGE))),
            *(("group_by[]", "workspace_id"), ("group_by[]", "description")),
        ]
        return await self._report("cost_report", params, cost_buckets)

    async def claude_code(self, day: date) -> tuple[PersonUsage, ...] | ReportProblem:
        """What each person used of Claude Code on one UTC day."""
        params: Params = [("starting_at", day.isoformat()), ("limit", str(PEOPLE_A_PAGE))]
        return await self._report("usage_report/claude_code", params, people)

    async def _report(
        self, path: str, params: Params, read: Callable[[list[Any]], tuple[Row, ...]]
    ) -> tuple[Row, ...] | ReportProblem:
        found: list[Row] = []
        seen: set[str] = set()
        try:
            await self._turn()
            page = await self._page(path, params)
            found.extend(read(page.data))
            while page.next_page is not None:
                _check_new(page.next_page, seen)
                seen.add(page.next_page)
                page = await self._page(path, [*params, ("page", page.next_page)])
                found.extend(read(page.data))
        except Unusable as unusable:
            return unusable.problem
        return tuple(found)

    async def _page(self, path: str, params: Params) -> _Page:
        for failed in range(TRIES):
            last = failed == TRIES - 1
            try:
                async with self._http.stream(
                    "GET",
                    f"/v1/organizations/{path}",
                    params=httpx.QueryParams(params),
                    headers=self._headers,
                    timeout=TIMEOUT,
                    follow_redirects=False,
                ) as response:
                    self._check_clock(response.headers)
                    pause = self._pause(response, failed)
                    if pause is None:
                        return _page_of(await _body(response))
                    if last or pause > LONGEST_WAIT_SECONDS:
                        raise _refusal(response.status_code)
            except httpx.HTTPError as error:
                if last:
                    detail = f"it could not be reached or broke off ({type(error).__name__})"
                    raise Unusable(ProblemKind.UNREACHABLE, detail) from None
                pause = _backoff(failed)
            await self._sleep(pause)
        raise AssertionError("unreachable")

    def _pause(self, response: httpx.Response, failed: int) -> float | None:
        """Seconds until another try; None for an answer. Raises for what does not pass."""
        status = response.status_code
        if status == 200:
            return None
        if status != 429 and status < 500:
            raise _refusal(status)
        asked = self._retry_after(response.headers)
        if asked is not None:
            return asked
        return BUSY_PAUSE_SECONDS if status == 429 else _backoff(failed)

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        text = headers.get("retry-after", "").strip()
        if text.isdigit():
            return float(text)
        moment = _http_date(text)
        return None if moment is None else max(0.0, (moment - self._clock()).total_seconds())

    def _check_clock(self, headers: Mapping[str, str]) -> None:
        """Whether an hour has ended is decided by this clock: it has to agree with theirs."""
        theirs = _http_date(headers.get("date", ""))
        if theirs is None:
            return
        skew = self._clock() - theirs
        if abs(skew) > MAX_SKEW:
            side = "ahead of" if skew > timedelta() else "behind"
            seconds = abs(round(skew.total_seconds()))
            detail = f"this machine's clock is {seconds} s {side} Anthropic's: set it"
            raise Unusable(ProblemKind.CLOCK_SKEW, detail)


def _span(since: datetime, until: datetime) -> Params:
    return [("starting_at", instant_text(since)), ("ending_at", instant_text(until))]


def _backoff(failed: int) -> float:
    """Doubling, and drawn from the upper half: those who failed together do not return together."""
    longest = FIRST_PAUSE_SECONDS * 2**failed
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret hangs on it


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _refusal(status: int) -> Unusable:
    if status >= 500:
        detail = f"Anthropic answered {status}: it is tried again later"
        return Unusable(ProblemKind.SERVER_ERROR, detail)
    other = (ProblemKind.REFUSED, "the request was refused")
    kind, detail = _REMEDIES.get(status, other)
    return Unusable(kind, f"Anthropic answered {status}: {detail}")


def _check_new(next_page: str, seen: set[str]) -> None:
    if next_page in seen or len(seen) >= MAX_PAGES:
        detail = "the pages of the report lead in a circle, or never end"
        raise Unusable(ProblemKind.REPEATED_PAGE, detail)


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            detail = f"a page is larger than {MAX_PAGE_BYTES} bytes"
            raise Unusable(ProblemKind.TOO_LARGE, detail)
    return bytes(body)


def _page_of(body: bytes) -> _Page:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        detail = "a page ends before its end, or is no JSON"
        raise Unusable(ProblemKind.TRUNCATED, detail) from None
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        raise Unusable(ProblemKind.MALFORMED, "a page has no list of data")
    more, next_page = page.get("has_more"), page.get("next_page")
    if not isinstance(more, bool) or (more and not isinstance(next_page, str)):
        detail = "a page does not say where the report goes on, or whether it does"
        raise Unusable(ProblemKind.TRUNCATED, detail)
    return _Page(page["data"], next_page if more else None)
