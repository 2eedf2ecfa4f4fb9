from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from httpx import AsyncClient

from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, SONNET

USAGE = "/v1/usage"
WEEK = {"since": "2026-01-22T00:00:00Z", "until": "2026-01-29T00:00:00Z"}
SESSION = "00000000-0000-4000-8000-000000000001"
KeyedHttp = Callable[..., AsyncClient]
HEADING = (
    "records,cost_usd,input_tokens,output_tokens,cache_creation_input_tokens,"
    "cache_read_input_tokens,cost_usd_cli,cost_usd_partial,cost_usd_external,cost_usd_outside,"
    "cost_usd_adjustment,cost_usd_blocks"
)


@pytest.fixture
async def spent(http: AsyncClient, local_pool: LocalPool) -> None:
    """A run, and something beside the pool the day before."""
    await http.post("/v1/executions", json={"prompt": "say yes", "subscription_id": "sub1"})
    await tell(http, "u-1", 1.25, model="opus", at="2026-01-27T12:00:00Z", session_id=SESSION)


async def tell(
    http: AsyncClient, id_: str, cost_usd: float, *, model: str, at: str, **more: Any
) -> None:
    usage = {"cost_usd": cost_usd, "input_tokens": 10}
    body = {"id": id_, "timestamp": at, "models": {model: usage}, **more}
    response = await http.post("/v1/subscriptions/sub2/usage", json=body)
    assert response.status_code == 201, response.text


async def asked(http: AsyncClient, *by: str, **more: Any) -> dict[str, Any]:
    response = await http.get(USAGE, params={**WEEK, "group_by": by, **more})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_totals_of_blocks_say_the_same_as_the_records(http: AsyncClient, spent: None) -> None:
    by_records = await asked(http, "day", "model")
    by_totals = await asked(http, "day", "model", by_totals=True)
    refused = await http.get(USAGE, params={"group_by": "key", "by_totals": True})

    assert [each["cost_usd"] for each in by_totals["items"]] == [
        each["cost_usd"] for each in by_records["items"]
    ]
    assert by_totals["total"]["records"] == by_records["total"]["records"] == 2
    assert by_totals["is_complete"]
    assert {each["source"] for each in by_totals["covered"]} == {"blocks"}
    assert (refused.status_code, "by_totals" in refused.text) == (422, True)


async def read_csv(http: AsyncClient, **params: Any) -> list[dict[str, str]]:
    response = await http.get(USAGE, params={**WEEK, "format": "csv", **params})
    assert response.status_code == 200, response.text
    return list(csv.DictReader(StringIO(response.text, newline="")))


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", ["2026-01-27", "2026-01-28"]),
        ("block", ["2026-01-27T10:00:00.000Z", "2026-01-28T10:00:00.000Z"]),
        ("model", [SONNET, "opus"]),
        ("key", [None]),
        ("subscription", ["sub1", "sub2"]),
    ],
)
async def test_usage_is_told_by(by: str, names: list[str], http: AsyncClient, spent: None) -> None:
    found = await asked(http, by)

    assert found["group_by"] == [by]
    assert [each[by] for each in found["items"]] == names
    assert found["total"]["cost_usd"] == 1.2506
    assert found["total"]["records"] == 2
    assert found["is_complete"]


async def test_usage_is_told_by_session(http: AsyncClient, spent: None) -> None:
    costs = {each["session"]: each["cost_usd"] for each in (await asked(http, "session"))["items"]}

    assert costs.pop(SESSION) == 1.25
    assert list(costs.values()) == [0.0006]


async def test_three_groupings_at_once_stand_in_the_order_they_are_asked_for(
    http: AsyncClient, spent: None
) -> None:
    found = await asked(http, "model", "day", "subscription")

    first, second = found["items"]
    assert list(first)[:3] == ["day", "model", "subscription"]
    assert (first["model"], first["subscription"]) == (SONNET, "sub1")
    assert "session" not in first
    assert second == {
        "day": "2026-01-27",
        "model": "opus",
        "subscription": "sub2",
        "records": 1,
        "cost_usd": 1.25,
        "input_tokens": 10,
        "output_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cost_usd_by_source": {"external": 1.25},
    }


async def test_the_last_seven_days_by_day_are_the_answer_to_no_question(
    http: AsyncClient, spent: None
) -> None:
    found = (await http.get(USAGE)).json()

    assert (found["since"], found["until"]) == (
        "2026-01-21T12:00:00.000Z",
        "2026-01-28T12:00:00.000Z",
    )
    assert found["group_by"] == ["day"]
    assert found["covered"][0] == {
        "subscription_id": "sub1",
        "since": "2026-01-21T12:00:00.000Z",
        "until": "2026-01-28T12:00:00.000Z",
        "source": "records",
    }


async def test_one_subscription_can_be_asked_for(http: AsyncClient, spent: None) -> None:
    found = await asked(http, "subscription", subscription_id="sub2")

    assert [each["subscription"] for each in found["items"]] == ["sub2"]
    assert len(found["covered"]) == 1


async def test_an_unknown_subscription_is_a_404(http: AsyncClient) -> None:
    response = await http.get(USAGE, params={"subscription_id": "nobody"})

    assert response.status_code == 404
    assert "'nobody'" in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=week", "group_by.0"),
        ("group_by=day&group_by=day", "group_by"),
        ("group_by=day&group_by=block&group_by=model&group_by=key", "group_by"),
        ("format=xml", "format"),
        ("since=yesterday", "since"),
        ("since=2026-01-28T12:00:00", "since"),
        ("since=2026-02-01T00:00:00Z", "since"),
        ("since=2020-01-01T00:00:00Z", "since"),
        ("until=0001-01-01T00:00:00Z", "until"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
    ],
)
async def test_what_cannot_be_asked_names_the_field(
    query: str, field: str, http: AsyncClient
) -> None:
    response = await http.get(f"{USAGE}?{query}")

    assert response.status_code == 422
    assert response.json()["field"] == field


async def test_reading_takes_a_key(keyed: KeyedHttp) -> None:
    answers = [
        (await keyed(key).get(USAGE)).status_code
        for key in ("test-key-execute", "test-key-reading")
    ]

    assert answers == [200, 200]
    assert (await keyed(None).get(USAGE)).status_code == 401


async def test_usage_is_told_by_the_name_of_the_key(keyed: KeyedHttp) -> None:
    await keyed("test-key-execute").post("/v1/executions", json={"prompt": "say yes"})
    await keyed("test-key-administer").post("/v1/executions", json={"prompt": "say yes"})

    found = await asked(keyed("test-key-auditing"), "key")

    assert [each["key"] for each in found["items"]] == ["operator", "runner"]


# -- lines ---------------------------------------------------------------------------------------


async def test_csv_has_a_heading_and_a_line_a_group(http: AsyncClient, spent: None) -> None:
    response = await http.get(USAGE, params={**WEEK, "format": "csv"})

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    assert response.headers["usage-complete"] == "true"
    assert response.text == (
        f"day,{HEADING}\r\n"
        "2026-01-27,1,1.25,10,0,0,0,,,1.25,,,\r\n"
        "2026-01-28,1,0.0006,100,20,0,0,0.0006,,,,,\r\n"
    )


async def test_json_lines_are_the_rows_of_the_json(http: AsyncClient, spent: None) -> None:
    response = await http.get(
        USAGE, params={**WEEK, "group_by": ["day", "model"], "format": "jsonl"}
    )

    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == (
        await asked(http, "day", "model")
    )["items"]


async def test_nothing_used_is_a_heading_alone(http: AsyncClient) -> None:
    assert await read_csv(http) == []
    assert (await http.get(USAGE, params={**WEEK, "format": "jsonl"})).text == ""


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html, application/x-ndjson;q=0.5, text/csv; q=0.9", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("text/csv;q=much", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ],
)
async def test_the_accept_header_chooses_the_form(
    accept: str, media_type: str, http: AsyncClient
) -> None:
    response = await http.get(USAGE, headers={"Accept": accept})

    assert response.headers["content-type"].partition(";")[0] == media_type


async def test_the_parameter_counts_more_than_the_header(http: AsyncClient) -> None:
    response = await http.get(USAGE, params={"format": "json"}, headers={"Accept": "text/csv"})

    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("begin", list("=+-@\t\r\n"))
async def test_a_name_that_a_spreadsheet_would_run_is_made_text(
    begin: str, http: AsyncClient
) -> None:
    name = f'{begin}cmd|" /C calc"!A0, b'
    await tell(http, "u-1", 1, model=name, at="2026-01-28T11:00:00Z", session_id=name)

    (row,) = await read_csv(http, group_by=["model", "session"])

    assert (row["model"], row["session"]) == (f"'{name}", f"'{name}")


async def test_a_figure_below_nothing_stays_a_figure(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    less = Usage(models={SONNET: ModelUsage(input_tokens=-5, cost_nano_usd=-1)})
    await local_pool.actors.subscription("sub1").record(
        UsageRecord(
            id="a",
            subscription_id="sub1",
            timestamp=NOON,
            source=UsageSource.ADJUSTMENT,
            usage=less,
        )
    )

    (row,) = await read_csv(http)

    assert (row["cost_usd"], row["input_tokens"]) == ("-0.000000001", "-5")


async def test_many_groups_are_streamed_whole(http: AsyncClient, local_pool: LocalPool) -> None:
    models = {f"model-{n:04}": ModelUsage(cost_nano_usd=n) for n in range(1200)}
    await local_pool.actors.subscription("sub1").record(
        UsageRecord(id="many", subscription_id="sub1", timestamp=NOON, usage=Usage(models=models))
    )

    rows = await read_csv(http, group_by="model")

    assert [each["model"] for each in rows] == sorted(models)
