"""Ids in addresses that are none: whatever they hold, they reach no file, store or log."""

from __future__ import annotations

import logging

import pytest
from httpx import AsyncClient

from actors.telemetry.logs import JsonFormatter

NO_IDS = {
    "a file above": "..%2F..%2Fetc%2Fpasswd",
    "a file above, written twice": "..%252f..%252fetc%252fpasswd",
    "dots": "%2e%2e",
    "a NUL": "exec%00",
    "a new line": "x%0d%0aset-cookie:%20a=b",
    "a terminal's order": "x%1b%5b2J",
    "a line separator": "x%e2%80%a8y",
    "no UTF-8": "%ff%fe",
    "much": "x" * 5000,
    "a quote": "x'--",
}
PLACES = (
    "/v1/executions/{}",
    "/v1/executions/{}/events",
    "/v1/subscriptions/{}",
    "/v1/subscriptions/{}/usage",
    "/v1/sessions/{}",
    "/v1/reconciliations/{}",
    "/v1/models/{}",
)


@pytest.fixture
def subscriptions() -> int:
    """One: nothing here reaches any."""
    return 1


@pytest.mark.parametrize("what", NO_IDS)
async def test_what_is_no_id_is_refused_in_one_clean_answer(
    http: AsyncClient, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    for place in PLACES:
        answer = await http.get(place.format(NO_IDS[what]))

        assert answer.status_code in {400, 404, 422}, (place, answer.text)
        assert "set-cookie" not in answer.headers, place
        assert not any(ord(each) < 32 for each in answer.text), place
        assert len(answer.text) < 2000, place
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize("where", ["since", "until"])
@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"])
async def test_an_instant_outside_the_calendar_is_refused(
    http: AsyncClient, where: str, instant: str
) -> None:
    for path in ("/v1/subscriptions/sub1/usage", "/v1/usage"):
        answer = await http.get(f"{path}?{where}={instant}")

        assert answer.status_code == 422
        assert "calendar" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["a\nb", "a\r\n{}", "a\u2028b", "a\x1b[2Jb", "a\x00b", "a\udc80b"])
def test_a_line_of_the_log_stays_one_line_of_plain_ascii(text: str) -> None:
    record = logging.makeLogRecord({"msg": "request failed", "path": text, "name": text})

    line = JsonFormatter().format(record)

    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert line.isprintable()
