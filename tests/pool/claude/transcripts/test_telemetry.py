from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.transcripts.telemetry import MAX_EVENTS, outside_record, read_export
from pool.usage.records import Call, ModelUsage, UsageSource
from tests.support.values.examples import NOON, SONNET

NANOS = str(int(NOON.timestamp()) * 10**9)
REQUEST = {
    "model": SONNET,
    "input_tokens": "100",
    "output_tokens": 20,
    "cache_read_tokens": 5,
    "cache_creation_tokens": 7,
    "cost_usd": 0.0006,
    "session.id": "session",
    "request_id": "req_1",
}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [
        {"key": name, "value": {kinds[type(value)]: value}}
        for name, value in values.items()
        if value is not None
    ]


def record(name: str = "claude_code.api_request", **changes: Any) -> dict[str, Any]:
    return {
        "timeUnixNano": NANOS,
        "body": {"stringValue": name},
        "attributes": attributes({**REQUEST, **changes}),
    }


def export(*records: dict[str, Any], **resource: Any) -> dict[str, Any]:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": attributes(resource)},
                "scopeLogs": [{"scope": {}, "logRecords": list(records)}],
            }
        ]
    }


def test_a_request_is_read_with_its_tokens_and_cost() -> None:
    found = read_export(export(record(), **{"pool.subscription_id": "sub1"}))

    (request,) = found.requests
    assert (request.subscription_id, request.session_id) == ("sub1", "session")
    assert (request.model, request.at) == (SONNET, NOON)
    assert request.usage == ModelUsage(
        input_tokens=100,
        output_tokens=20,
        cache_creation_input_tokens=7,
        cache_read_input_tokens=5,
        cost_nano_usd=600_000,
    )


def test_its_record_bears_the_id_of_the_request() -> None:
    (request,) = read_export(export(record())).requests

    kept = outside_record(request, "sub1", NOON)

    assert (kept.id, kept.source) == ("outside:req_1", UsageSource.OUTSIDE)
    assert kept.call == Call(request_ids=("req_1",))


@pytest.mark.parametrize("request_id", [None, ""])
def test_a_request_without_an_id_is_told_by_what_it_says(request_id: str | None) -> None:
    told = export(
        record(request_id=request_id),
        record(request_id=request_id),
        record(request_id=request_id, output_tokens=21),
    )

    kept = [outside_record(each, "sub1", NOON) for each in read_export(told).requests]

    assert kept[0].id == kept[1].id != kept[2].id
    assert kept[0].call == Call()


def test_other_events_are_passed_over() -> None:
    found = read_export(export(record("claude_code.user_prompt"), record("claude_code.api_error")))

    assert (found.requests, found.rejected) == ((), 0)


@pytest.mark.parametrize("name", ["session.id", "model", "cost_usd"])
def test_what_has_no_session_model_or_price_is_rejected(name: str) -> None:
    found = read_export(export(record(**{name: None}), record(request_id="req_2")))

    assert (len(found.requests), found.rejected) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_tokens": -1},
        {"output_tokens": "many"},
        {"cost_usd": -0.5},
        {"cost_usd": "NaN"},
        {"cost_usd": 1000.01},
        {"cost_usd": 1e15},
    ],
)
def test_what_is_no_count_is_rejected(changes: dict[str, Any]) -> None:
    assert read_export(export(record(**changes))).rejected == 1


def test_an_export_is_bounded() -> None:
    found = read_export(export(*[record()] * (MAX_EVENTS + 3)))

    assert (len(found.requests), found.rejected) == (MAX_EVENTS, 3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("resourceLogs", "scopeLogs", "logRecords", "attributes", "key", "value"),
                    *("stringValue", "intValue", "body", "timeUnixNano", "resource"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(JSON)
def test_anything_can_be_sent(document: Any) -> None:
    read_export(document)


@given(st.dictionaries(st.sampled_from(sorted(REQUEST)), st.text(max_size=8) | st.floats()))
def test_anything_can_stand_in_an_event(changes: dict[str, Any]) -> None:
    read_export(export(record(**changes)))
