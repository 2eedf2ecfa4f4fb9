"""The stand-in over HTTP, without the CLI: its answers, its bill, its quotas, its misbehaviour."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.demo.answers.instance import minimal_instance
from api.demo.standin.behaviour import Behaviour, Call, UnreadableMarker, marked
from api.demo.standin.bill import Bill, Line, Usage, cost_nano_usd, fingerprint
from api.demo.standin.journal import Journal, Recorded
from api.demo.standin.messages_api import create_app
from api.demo.standin.quota import Allowance, Meter, Quota, five_hour_quota
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin

SONNET = "claude-sonnet-4-5-20250929"
OPUS = "claude-opus-4-5-20251101"
ONE_ANSWER = 600_000  # nano-dollars
START = datetime(2026, 1, 28, 12, tzinfo=UTC)
UNIFIED = "anthropic-ratelimit-unified"
Json = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


CLOCK = Clock()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(create_app(Standin(clock=CLOCK))) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture
def standin(server: Server) -> Standin:
    CLOCK.now = START
    server.standin.reset()
    return server.standin


def bearer(token: str = "test-token-a") -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def request_body(prompt: str = "hello", **more: Any) -> Json:
    message = {"role": "user", "content": prompt}
    return {"model": SONNET, "max_tokens": 100, "messages": [message], **more}


def ask(
    http: httpx.Client, prompt: str = "hello", *, token: str = "test-token-a", **more: Any
) -> httpx.Response:
    return http.post("/v1/messages", json=request_body(prompt, **more), headers=bearer(token))


def events(response: httpx.Response) -> list[Json]:
    data = [
        line.removeprefix("data: ")
        for line in response.text.splitlines()
        if line.startswith("data: ")
    ]
    return [json.loads(each) for each in data]


def text_of(stream: list[Json]) -> str:
    deltas = [event["delta"] for event in stream if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


# Answers


def test_the_same_request_gets_the_same_words_under_new_ids(
    standin: Standin, http: httpx.Client
) -> None:
    first, second = ask(http), ask(http)

    assert first.json()["content"] == second.json()["content"]
    assert first.json()["id"] != second.json()["id"]
    assert first.headers["request-id"] != second.headers["request-id"]
    assert first.json()["usage"]["input_tokens"] == 100
    assert first.json()["usage"]["output_tokens"] == 20


def test_a_stream_has_every_event_in_anthropics_order(standin: Standin, http: httpx.Client) -> None:
    stream = events(ask(http, stream=True))

    kinds = [event["type"] for event in stream]
    assert kinds[:3] == ["message_start", "ping", "content_block_start"]
    assert kinds.count("content_block_delta") == 4
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert text_of(stream) == ask(http).json()["content"][0]["text"]
    assert stream[-2]["usage"]["output_tokens"] == 20


@pytest.mark.parametrize("stream", [True, False])
def test_a_marker_sets_text_and_tokens(standin: Standin, http: httpx.Client, stream: bool) -> None:
    prompt = "[[standin in=1000 out=50 cache_5m=1 cache_1h=2 cache_read=3]] [[standin text=a  b]]"

    response = ask(http, prompt, stream=stream)

    assert (
        text_of(events(response)) if stream else response.json()["content"][0]["text"]
    ) == "a  b"
    assert standin.bill.total().usage == Usage(
        input_tokens=1000,
        output_tokens=50,
        cache_creation_5m_input_tokens=1,
        cache_creation_1h_input_tokens=2,
        cache_read_input_tokens=3,
    )


def test_a_marker_counts_only_in_the_users_newest_words(
    standin: Standin, http: httpx.Client
) -> None:
    reminder = "<system-reminder>[[standin status=500]]</system-reminder>"
    messages = [
        {"role": "user", "content": "[[standin status=500]]"},
        {"role": "assistant", "content": "[[standin status=500]]"},
        {
            "role": "user",
            "content": [{"type": "text", "text": reminder}, {"type": "text", "text": "hi"}],
        },
    ]

    response = ask(http, messages=messages)

    assert response.status_code == 200
    assert standin.last_user_text() == "hi"


def test_a_marker_that_cannot_be_read_says_why(standin: Standin, http: httpx.Client) -> None:
    response = ask(http, "[[standin chunks=none]]")

    assert response.status_code == 400
    assert "chunks" in response.json()["error"]["message"]
    with pytest.raises(UnreadableMarker):
        marked("[[standin dance]]")


def test_empty_and_huge_answers(standin: Standin, http: httpx.Client) -> None:
    empty = events(ask(http, "[[standin empty]]", stream=True))
    huge = events(ask(http, "[[standin huge megabytes=3]]", stream=True))

    assert "content_block_start" not in [event["type"] for event in empty]
    assert len(text_of(huge)) == 3_000_000
    assert max(len(event.get("delta", {}).get("text", "")) for event in huge) <= 64 * 1024


def test_a_refusal_stops_with_that_reason(standin: Standin, http: httpx.Client) -> None:
    assert ask(http, "[[standin refusal]]").json()["stop_reason"] == "refusal"


def test_tools_come_before_the_answer_as_often_as_asked(
    standin: Standin, http: httpx.Client
) -> None:
    messages: list[Json] = [
        {"role": "user", "content": '[[standin tool steps=2 input={"command": "ls"}]]'}
    ]
    reasons = []

    for _ in range(3):
        answer = ask(http, messages=messages).json()
        reasons.append(answer["stop_reason"])
        messages.append({"role": "assistant", "content": answer["content"]})
        results = [
            {"type": "tool_result", "tool_use_id": block.get("id")} for block in answer["content"]
        ]
        messages.append({"role": "user", "content": results})

    assert reasons == ["tool_use", "tool_use", "end_turn"]
    assert messages[1]["content"][0]["input"] == {"command": "ls"}


def test_structured_output_fits_its_schema(standin: Standin, http: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"format": {"type": "json_schema", "schema": schema}}

    by_tool = ask(http, tools=[{"name": "StructuredOutput", "input_schema": schema}]).json()
    by_text = ask(http, output_config=wanted).json()

    assert by_tool["content"][0]["input"] == {"n": 0}
    assert json.loads(by_text["content"][0]["text"]) == {"n": 0}


def test_the_smallest_instance_follows_references_and_bounds() -> None:
    schema = {
        "properties": {
            "kind": {"enum": ["b", "c"]},
            "list": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/n"}},
        },
        "required": ["kind", "list"],
        "$defs": {"n": {"anyOf": [{"type": "number", "minimum": 4}, {"type": "null"}]}},
    }

    assert minimal_instance(schema) == {"kind": "b", "list": [4, 4]}
    with pytest.raises(ValueError, match="deeply"):
        minimal_instance({"$ref": "#"})


def test_harmless_answers_to_what_else_is_asked(standin: Standin, http: httpx.Client) -> None:
    assert http.head("/api/hello").status_code == 200
    assert http.head("/").status_code == 200
    assert http.get("/v1/unheard-of").status_code == 404
    assert (
        http.post("/v1/messages/count_tokens", json=request_body(), headers=bearer()).json()[
            "input_tokens"
        ]
        > 0
    )
    assert SONNET in [
        model["id"] for model in http.get("/v1/models", headers=bearer()).json()["data"]
    ]
    assert standin.bill.total().requests == 0


# The bill and the journal


def test_every_answer_is_on_the_bill_of_its_credential(
    standin: Standin, http: httpx.Client
) -> None:
    answer = ask(http, token="test-token-a")
    ask(http, token="test-token-b", model=OPUS)
    http.post("/v1/messages", json=request_body(), headers={"x-api-key": "test-key-c"})

    (line,) = standin.bill.lines("test-token-a")
    assert (line.message_id, line.request_id) == (answer.json()["id"], answer.headers["request-id"])
    assert (line.outcome, line.cost_nano_usd, line.billed_at) == ("completed", ONE_ANSWER, START)
    assert standin.bill.total("test-token-b").cost_nano_usd == 1_000_000
    assert standin.bill.total().cost_nano_usd == 2 * ONE_ANSWER + 1_000_000
    assert {model: total.requests for model, total in standin.bill.by_model().items()} == {
        SONNET: 2,
        OPUS: 1,
    }
    assert standin.bill.by_credential()[fingerprint("test-key-c")].requests == 1


def test_cached_tokens_have_their_own_prices() -> None:
    usage = Usage(
        input_tokens=0,
        output_tokens=0,
        cache_creation_5m_input_tokens=4,
        cache_creation_1h_input_tokens=1,
        cache_read_input_tokens=10,
    )

    assert cost_nano_usd(SONNET, usage) == 4 * 3750 + 6000 + 10 * 300
    assert cost_nano_usd("claude-opus-5-5", usage) == 4 * 5000 + 8000 + 10 * 200
    assert cost_nano_usd("claude-fable-5-2", usage) == 4 * 10_000 + 16_000 + 10 * 200
    assert cost_nano_usd("claude-unknown-1", usage) is None


def test_a_prompt_of_up_to_100_000_tokens_is_cheaper_on_haiku() -> None:
    short = Usage(input_tokens=40_000, cache_read_input_tokens=60_000, output_tokens=100)
    long = short.model_copy(update={"input_tokens": 40_001})

    assert cost_nano_usd("claude-haiku-5-5", short) == 40_000 * 100 + 60_000 * 10 + 100 * 500
    assert cost_nano_usd("claude-haiku-5-5", long) == 40_001 * 500 + 60_000 * 50 + 100 * 2500


def test_totals_stay_exact_when_old_lines_are_dropped() -> None:
    bill = Bill(max_lines=2)
    line = Line(
        credential="c",
        account="c",
        model=SONNET,
        usage=Usage(),
        cost_nano_usd=0,
        message_id="",
        request_id="r",
        outcome="open",
        billed_at=START,
    )

    for number in range(5):
        bill.begin(line.model_copy(update={"message_id": f"m{number}"}))
        bill.settle(f"m{number}", "completed", Usage())

    assert [line.message_id for line in bill.lines()] == ["m3", "m4"]
    assert bill.total().cost_nano_usd == 5 * ONE_ANSWER


def test_the_journal_shows_the_request_without_its_secret(
    standin: Standin, http: httpx.Client
) -> None:
    ask(http, "  verbatim\n", token="test-token-a", system=[{"type": "text", "text": "be brief"}])

    (recorded,) = standin.requests.all("test-token-a")
    assert (recorded.auth, recorded.last_user_text()) == ("bearer", "  verbatim\n")
    assert recorded.system_text() == "be brief"
    assert "test-token-a" not in recorded.model_dump_json()
    assert standin.requests.count("test-token-a") == 1
    assert standin.requests.count("test-token-b") == 0


def test_the_journal_forgets_the_oldest_beyond_its_bounds_but_counts_them() -> None:
    journal = Journal(max_requests=3, max_bytes=10)

    for number, size in enumerate((1, 1, 1, 1, 8, 1)):
        journal.add(
            Recorded(
                request_id=str(number),
                method="POST",
                path="/v1/messages",
                auth="bearer",
                credential="c",
                headers={},
                body=None,
                size_bytes=size,
                received_at=START,
            )
        )

    assert [request.request_id for request in journal.all()] == ["3", "4", "5"]
    assert journal.count() == 6
    journal.add(journal.all()[1].model_copy(update={"request_id": "6"}))
    assert [request.request_id for request in journal.all()] == ["5", "6"]


# Quotas


def test_utilization_grows_with_the_bill_until_the_window_is_spent(
    standin: Standin, http: httpx.Client
) -> None:
    standin.set_quota(five_hour_quota(2 * ONE_ANSWER, length_seconds=5))

    answers = [ask(http) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers[f"{UNIFIED}-5h-utilization"] for answer in answers] == ["0.5", "1", "1"]
    statuses = [answer.headers[f"{UNIFIED}-status"] for answer in answers]
    assert statuses == ["allowed", "allowed_warning", "rejected"]
    assert answers[2].headers[f"{UNIFIED}-representative-claim"] == "five_hour"
    assert answers[2].headers[f"{UNIFIED}-reset"] == str(int(START.timestamp()) + 5)
    assert answers[2].headers["retry-after"] == "5"
    assert standin.bill.total().requests == 2


def test_a_spent_window_reopens_by_the_clock_alone(standin: Standin, http: httpx.Client) -> None:
    standin.set_quota(five_hour_quota(ONE_ANSWER, length_seconds=5))
    ask(http)

    CLOCK.pass_seconds(4.999)
    before = ask(http)
    CLOCK.pass_seconds(0.001)
    after = ask(http)

    assert (before.status_code, after.status_code) == (429, 200)


def test_many_callers_at_once_never_get_past_the_last_nano_dollar(
    standin: Standin, http: httpx.Client
) -> None:
    standin.set_quota(five_hour_quota(3 * ONE_ANSWER))

    with ThreadPoolExecutor(8) as callers:
        codes = list(
            callers.map(lambda _: ask(http, "[[standin slow seconds=0.05]]").status_code, range(8))
        )

    assert sorted(codes) == [200] * 3 + [429] * 5


def test_the_seven_day_window_refuses_after_the_five_hour_one_reopened(
    standin: Standin, http: httpx.Client
) -> None:
    standin.set_quota(
        Quota(
            five_hour=Allowance(quota_nano_usd=ONE_ANSWER, length_seconds=5),
            seven_day=Allowance(quota_nano_usd=ONE_ANSWER, length_seconds=50),
        )
    )
    ask(http)

    CLOCK.pass_seconds(6)
    refused = ask(http)

    assert refused.headers[f"{UNIFIED}-representative-claim"] == "seven_day"
    assert refused.headers[f"{UNIFIED}-5h-status"] == "allowed"
    assert refused.headers[f"{UNIFIED}-7d-status"] == "rejected"


def test_a_models_own_week_binds_that_model_only(standin: Standin, http: httpx.Client) -> None:
    spent = Allowance(quota_nano_usd=1, length_seconds=50, used_nano_usd=1)
    standin.set_quota(Quota(seven_day_opus=spent))

    assert ask(http, model=SONNET).status_code == 200
    refused = ask(http, model=OPUS)
    assert refused.status_code == 429
    assert refused.headers[f"{UNIFIED}-representative-claim"] == "seven_day_opus"


def test_overage_lets_spent_windows_answer(standin: Standin, http: httpx.Client) -> None:
    standin.set_quota(five_hour_quota(1, used_nano_usd=1).model_copy(update={"overage": "allowed"}))

    answer = ask(http)

    assert answer.status_code == 200
    assert answer.headers[f"{UNIFIED}-status"] == "rejected"
    assert answer.headers[f"{UNIFIED}-overage-status"] == "allowed"
    assert answer.headers[f"{UNIFIED}-overage-in-use"] == "true"


def test_an_api_key_has_neither_limits_nor_headers(standin: Standin, http: httpx.Client) -> None:
    standin.set_quota(five_hour_quota(1, used_nano_usd=1))

    answer = http.post(
        "/v1/messages", json=request_body(), headers={"x-api-key": "test-key-administer"}
    )

    assert answer.status_code == 200
    assert [name for name in answer.headers if name.startswith(UNIFIED)] == []


def test_credentials_of_one_account_share_its_quota(standin: Standin, http: httpx.Client) -> None:
    standin.account("family", "test-token-a", "test-token-b")
    standin.set_quota(five_hour_quota(ONE_ANSWER))

    first, second, stranger = (ask(http, token=f"test-token-{name}") for name in "abc")

    assert [each.status_code for each in (first, second, stranger)] == [200, 429, 200]
    organizations = [
        each.headers["anthropic-organization-id"] for each in (first, second, stranger)
    ]
    assert organizations[0] == organizations[1] != organizations[2]


def test_a_refund_does_not_reach_a_window_that_has_passed() -> None:
    meter = Meter.of(five_hour_quota(10, length_seconds=5), START)
    later = START + timedelta(seconds=6)

    charged = meter.charge(SONNET, 4, START).charge(SONNET, 4, later)

    assert charged.refund(SONNET, 3, START).windows[0].used_nano_usd == 4
    assert charged.refund(SONNET, 3, later).windows[0].used_nano_usd == 1


# Misbehaviour


@pytest.mark.parametrize(
    ("marker", "status", "kind"),
    [
        ("unauthorized", 401, "authentication_error"),
        ("credit_too_low", 400, "invalid_request_error"),
        ("status=404", 404, "not_found_error"),
        ("burst", 429, "rate_limit_error"),
        ("overloaded", 529, "overloaded_error"),
        ("status=500", 500, "api_error"),
        ("usage_limit window=seven_day resets_in_seconds=9", 429, "rate_limit_error"),
    ],
)
def test_a_scripted_error_has_anthropics_form_and_is_not_billed(
    standin: Standin, http: httpx.Client, marker: str, status: int, kind: str
) -> None:
    response = ask(http, f"[[standin {marker}]]")

    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)
    assert response.json()["request_id"] == response.headers["request-id"]
    assert (f"{UNIFIED}-status" in response.headers) == marker.startswith("usage_limit")
    assert standin.bill.total().requests == 0


def test_unknown_models_and_bodies_are_refused(standin: Standin, http: httpx.Client) -> None:
    assert ask(http, model="claude-nonsense-9").status_code == 404
    assert ask(http, messages="hello").status_code == 400
    assert http.post("/v1/messages", content=b"{", headers=bearer()).status_code == 400


def test_queued_behaviours_are_used_up_one_by_one_and_the_rule_stands(
    standin: Standin, http: httpx.Client
) -> None:
    standin.always(Behaviour(text="rule"))
    standin.next(Behaviour(kind="error", status=529), Behaviour(text="queued"))
    standin.next(Behaviour(text="mine"), token="test-token-a")

    answers = [ask(http) for _ in range(4)]

    texts = [
        each.json()["content"][0]["text"] if each.is_success else each.status_code
        for each in answers
    ]
    assert texts == ["mine", 529, "queued", "rule"]


def test_only_credentials_on_the_list_are_let_in(standin: Standin, http: httpx.Client) -> None:
    standin.allow("test-token-a")

    assert ask(http, token="test-token-a").status_code == 200
    assert ask(http, token="test-token-b").status_code == 401
    standin.allow_anyone()
    assert ask(http, token="test-token-b").status_code == 200
    assert http.post("/v1/messages", json=request_body()).status_code == 401


@pytest.mark.parametrize(("stream", "output_tokens"), [(True, 10), (False, 10)])
def test_a_cut_answer_is_billed_for_what_was_generated(
    standin: Standin, http: httpx.Client, stream: bool, output_tokens: int
) -> None:
    standin.set_quota(five_hour_quota(10 * ONE_ANSWER))

    with pytest.raises(httpx.RemoteProtocolError):
        ask(http, "[[standin cut]]", stream=stream)

    (line,) = standin.bill.lines()
    assert (line.outcome, line.usage.output_tokens) == ("cut", output_tokens)
    assert standin.meter("test-token-a").windows[0].used_nano_usd == line.cost_nano_usd


def test_a_dropped_connection_bills_nothing(standin: Standin, http: httpx.Client) -> None:
    standin.set_quota(five_hour_quota(10 * ONE_ANSWER))

    with pytest.raises(httpx.RemoteProtocolError):
        ask(http, "[[standin drop]]", stream=True)

    standin.wait_until(lambda: standin.bill.total().requests == 0)
    standin.wait_until(lambda: standin.meter("test-token-a").windows[0].used_nano_usd == 0)


def test_an_error_event_ends_a_stream_half_way(standin: Standin, http: httpx.Client) -> None:
    stream = events(ask(http, "[[standin error_event]]", stream=True))

    assert stream[-1]["error"]["type"] == "overloaded_error"
    assert [event["type"] for event in stream].count("content_block_delta") == 2
    assert standin.bill.lines()[0].outcome == "cut"


def test_a_stalled_answer_goes_on_when_released(standin: Standin, http: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as callers:
        answer = callers.submit(ask, http, "[[standin stall]]", stream=True)
        standin.wait_until(lambda: standin.stalled == 1)
        assert standin.bill.lines()[0].outcome == "open"
        assert standin.bill.total().usage == Usage(input_tokens=100, output_tokens=0)
        standin.release()

        assert events(answer.result(10))[-1]["type"] == "message_stop"
    assert standin.bill.lines()[0].outcome == "completed"


def test_a_client_that_leaves_ends_the_stall(standin: Standin, http: httpx.Client) -> None:
    with http.stream(
        "POST",
        "/v1/messages",
        json=request_body("[[standin stall]]", stream=True),
        headers=bearer(),
    ):
        standin.wait_until(lambda: standin.stalled == 1)

    standin.wait_until(lambda: standin.bill.lines()[0].outcome == "cut")
    assert standin.stalled == 0


def test_a_stall_is_cut_after_its_longest_time(standin: Standin, http: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(http, "[[standin stall max_stall_seconds=0.05]]", stream=True)


def test_a_slow_answer_takes_its_time(standin: Standin, http: httpx.Client) -> None:
    response = ask(http, "[[standin slow delay_seconds=0.1 seconds=0.2 chunks=20]]", stream=True)

    assert response.elapsed >= timedelta(seconds=0.3)
    assert [event["type"] for event in events(response)].count("content_block_delta") >= 15


def test_waiting_for_what_never_comes_ends_with_a_timeout(standin: Standin) -> None:
    with pytest.raises(TimeoutError):
        standin.wait_until(lambda: False, seconds=0.05)


# From outside


def test_another_process_can_steer_and_watch(standin: Standin, http: httpx.Client) -> None:
    def order(path: str, body: Json | None = None) -> None:
        assert http.post(f"/_standin/{path}", json=body).status_code == 204

    order(
        "behaviour",
        {"token": "test-token-a", "next": [{"text": "queued"}], "always": {"text": "rule"}},
    )
    texts = [ask(http).json()["content"][0]["text"] for _ in range(2)]
    bill = http.get("/_standin/bill").json()
    requests = http.get(
        "/_standin/requests", params={"credential": fingerprint("test-token-a")}
    ).json()
    order("account", {"name": "family", "tokens": ["test-token-a", "test-token-b"]})
    spent = {"quota_nano_usd": 1, "used_nano_usd": 1, "length_seconds": 5}
    order("quota", {"token": "test-token-b", "quota": {"five_hour": spent}})
    refused = ask(http)
    order("allow", {"tokens": []})
    locked_out = ask(http)
    order("release")
    order("reset")

    assert texts == ["queued", "rule"]
    assert bill["total"]["cost_nano_usd"] == 2 * ONE_ANSWER
    assert [each["body"]["messages"][0]["content"] for each in requests["requests"]] == [
        "hello",
        "hello",
    ]
    assert (refused.status_code, locked_out.status_code) == (429, 401)
    assert http.post("/_standin/behaviour", json={"next": [{"kind": "dance"}]}).status_code == 422
    assert ask(http).status_code == 200
    assert http.get("/_standin/bill").json()["total"]["requests"] == 1


def test_stopping_the_server_does_not_wait_for_stalled_answers() -> None:
    threads = [thread.name for thread in threading.enumerate()].count("standin")
    with httpx.Client(timeout=20) as client, ThreadPoolExecutor(1) as callers:
        started = time.monotonic()
        with serving(create_app()) as server:
            client.base_url = server.url
            answer = callers.submit(ask, client, "[[standin stall]]", stream=True)
            server.standin.wait_until(lambda: server.standin.stalled == 1)

        assert isinstance(answer.exception(10), httpx.RemoteProtocolError)
        assert time.monotonic() - started < 4  # a graceful stop would take five seconds
    assert server.standin.bill.lines()[0].outcome == "cut"
    assert [thread.name for thread in threading.enumerate()].count("standin") == threads


def test_it_runs_as_a_process_and_stops_when_told() -> None:
    command = [sys.executable, "-m", "api.demo", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        url = process.stdout.readline().strip()
        answer = httpx.post(f"{url}/v1/messages", json=request_body(), headers=bearer())
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
        assert answer.status_code == 200
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


WEATHER = {"name": "mcp__caller__weather", "input_schema": {"type": "object"}}


def test_several_calls_are_made_at_once_and_a_forced_one_where_nothing_else_was_said(
    standin: Standin, http: httpx.Client
) -> None:
    calls = (Call(name="weather", id="toolu_1"), Call(name="weather", id="toolu_2"))
    standin.next(Behaviour(kind="tool", calls=calls, text="Hm."))

    several = ask(http, tools=[WEATHER]).json()
    forced = ask(http, tools=[WEATHER], tool_choice={"type": "any"}).json()

    named = [(each["type"], each.get("id"), each.get("name")) for each in several["content"]]
    assert named == [
        ("text", None, None),
        ("tool_use", "toolu_1", "mcp__caller__weather"),
        ("tool_use", "toolu_2", "mcp__caller__weather"),
    ]
    assert (forced["stop_reason"], forced["content"][0]["name"]) == ("tool_use", WEATHER["name"])


CALLED = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "x"}]}
HELLO = {"role": "user", "content": "hi"}
STRAY = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_2"}]}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"messages": [HELLO, CALLED, HELLO]}, "`tool_use` ids were found without"),
        ({"messages": [HELLO, STRAY]}, "unexpected `tool_use_id` found"),
        ({"tool_choice": {"type": "any"}}, "may only be specified while providing tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "y"}}, "'y' not found"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "any"}, "thinking": {"type": "enabled"}},
            "Thinking may not be enabled when tool_choice forces tool use",
        ),
    ],
)
def test_what_the_api_refuses_about_tools_is_refused(
    standin: Standin, http: httpx.Client, body: Json, problem: str
) -> None:
    answer = ask(http, **body)

    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]
