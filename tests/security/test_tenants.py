"""Attacks of one caller on another, over HTTP: each of them worked before keys were tenants."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from pool.executions.outcome import Completed
from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeySpec
from tests.support.callers.many_callers import Service, many_callers
from tests.support.values.examples import spec, usage_of

UNKNOWN = "0b6f1c9e-8f35-4b0e-8b4b-0d5c2f6a7e11"
MESSAGES = [{"role": "user", "content": "and before that?"}]
SONNET, HAIKU = "claude-sonnet-4-5", "claude-haiku-4-5"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with many_callers(tmp_path_factory.mktemp("pool")) as service:
        yield service


@contextmanager
def held(service: Service) -> Iterator[None]:
    """Runs go on until the end of the block."""
    service.runner.hold = True
    try:
        yield
    finally:
        service.runner.hold = False
        for run in service.runner.runs:
            if not run.ending.done():
                service.portal.call(run.end)


def ask(service: Service, who: str, **body: Any) -> httpx.Response:
    return service[who].post("/v1/executions", json={"prompt": "and before that?", **body})


def items(service: Service, who: str, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = service[who].get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def plain(answer: httpx.Response, *ids: str) -> Any:
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, "it")
    body = json.loads(text)
    body.pop("request_id", None)
    return answer.status_code, body


# -- executions ----------------------------------------------------------------------------------


def test_a_key_that_may_only_run_reads_what_it_left_in_the_background(service: Service) -> None:
    execution = service.run("mallory", background=True)

    answer = service["mallory"].get(f"/v1/executions/{execution['id']}?wait_seconds=5").json()

    assert (answer["status"], answer["result"]) == ("succeeded", "yes")
    assert answer["tenant"] == "mallory"


def test_nobody_reads_anothers_result_by_cancelling_it(service: Service) -> None:
    execution = service.run("alice")

    answer = service["mallory"].post(f"/v1/executions/{execution['id']}/cancel")

    assert answer.status_code == 404
    assert "yes" not in answer.text


def test_nobody_stops_what_is_anothers(service: Service) -> None:
    with held(service):
        execution = service.run("alice", background=True)

        service["mallory"].post(f"/v1/executions/{execution['id']}/cancel")
        service["auditing-runner"].post(f"/v1/executions/{execution['id']}/cancel")

        seen = service["anna"].get(f"/v1/executions/{execution['id']}").json()
    assert seen["status"] == "running"


def test_keys_of_one_tenant_stop_each_others(service: Service) -> None:
    with held(service):
        execution = service.run("alice", background=True)

        answer = service["anna"].post(f"/v1/executions/{execution['id']}/cancel")

    assert answer.json()["status"] == "cancelled"


def test_lists_page_through_what_is_ones_own(service: Service) -> None:
    mine = []
    for number in range(7):
        service.run("alice")
        mine.insert(0, service.run("both", metadata={"n": str(number)})["id"])

    found, cursor = [], None
    for _ in range(20):
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = service["both"].get("/v1/executions", params=params).json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["items"]) == 2

    assert found[:7] == mine
    assert not {each["id"] for each in items(service, "alice", "/v1/executions")} & {*found}


def test_a_cursor_of_another_leads_to_nothing_of_theirs(service: Service) -> None:
    for _ in range(3):
        service.run("alice")
    theirs = service["alice"].get("/v1/executions", params={"limit": 1}).json()["next_cursor"]

    found = items(service, "mallory", "/v1/executions", cursor=theirs)

    assert {each["tenant"] for each in found} <= {"mallory"}


def test_the_same_idempotency_key_of_another_is_another_key(service: Service) -> None:
    headers, body = {"Idempotency-Key": "guessed"}, {"prompt": "the same"}

    theirs = service["alice"].post("/v1/executions", json=body, headers=headers).json()
    mine = service["mallory"].post("/v1/executions", json=body, headers=headers).json()
    other = service["anna"].post("/v1/executions", json={"prompt": "another"}, headers=headers)

    assert mine["id"] != theirs["id"]
    assert (other.status_code, other.json()["tenant"]) == (200, "team")


# -- sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"fork_session": True}])
def test_nobody_goes_on_with_anothers_session(service: Service, how: dict[str, Any]) -> None:
    session_id = service.run("alice")["session_id"]
    runs = len(service.runner.runs)

    for who in ("mallory", "auditing-runner"):
        refused = ask(service, who, session_id=session_id, **how)
        unknown = ask(service, who, session_id=UNKNOWN, **how)
        assert refused.status_code == 404
        assert plain(refused, session_id) == plain(unknown, UNKNOWN)

    assert len(service.runner.runs) == runs


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_nor_in_a_dialect(service: Service, path: str, stream: bool) -> None:
    session_id = service.run("alice")["session_id"]
    body = {"model": SONNET, "max_tokens": 9, "messages": MESSAGES, "stream": stream}

    def said(id_: str) -> httpx.Response:
        return service["mallory"].post(path, json=body, headers={"X-Session-Id": id_})

    refused, unknown = said(session_id), said(UNKNOWN)

    assert refused.status_code == 404
    assert plain(refused, session_id) == plain(unknown, UNKNOWN)


def test_keys_of_one_tenant_go_on_with_each_others_sessions(service: Service) -> None:
    first = service.run("alice")

    second = ask(service, "anna", session_id=first["session_id"])

    assert second.json()["session_id"] == first["session_id"]
    assert service["alice"].get(f"/v1/executions/{second.json()['id']}").status_code == 200


def test_nobody_removes_anothers_session(service: Service) -> None:
    session_id = service.run("alice")["session_id"]

    answer = service["mallory"].delete(f"/v1/sessions/{session_id}")

    assert answer.status_code == 404
    assert service["alice"].get(f"/v1/sessions/{session_id}").status_code == 200
    assert ask(service, "alice", session_id=session_id).status_code == 200


def test_where_anothers_session_would_go_is_told_as_of_an_unknown_one(service: Service) -> None:
    session_id = service.run("alice")["session_id"]

    def route(id_: str) -> httpx.Response:
        return service["both"].post("/v1/route", json={"prompt": "x", "session_id": id_})

    assert plain(route(session_id), session_id) == plain(route(UNKNOWN), UNKNOWN)
    assert route(session_id).status_code == 404


def test_what_nobody_asked_for_by_a_key_is_for_operators(service: Service) -> None:
    request = ExecutionRequest(prompt="of a program")
    execution = service.call(lambda: service.pool.client.execute(request))

    path = f"/v1/executions/{execution.id}"
    statuses = [service[who].get(path).status_code for who in ("both", "auditor", "admin")]

    assert statuses == [404, 200, 200]
    assert ask(service, "both", session_id=execution.session_id).status_code == 404


# -- events and usage ----------------------------------------------------------------------------


def told(service: Service, who: str, after: str, last: str) -> list[dict[str, Any]]:
    """The events after one, up to that in which ``last`` stands, or those that came until now."""
    found = []
    path = f"/v1/events?after={after}"
    with service[who].stream("GET", path, timeout=1.0) as answer:
        try:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: ")))
                    if last in line and found[-1]["kind"] == "execution_ended":
                        break
        except httpx.ReadTimeout:
            pass
    return found


def test_events_tell_of_what_is_ones_own(service: Service) -> None:
    begin = service.call(service.pool.client.happenings).cursor
    theirs, mine = service.run("alice"), service.run("both")
    ask(service, "alice", subscription_id="none")

    of = {
        who: told(service, who, begin, mine["id"])
        for who in ("both", "mallory", "alice", "reader", "auditor")
    }

    def about(who: str) -> set[str]:
        return {each["execution_id"] for each in of[who] if each["execution_id"]}

    assert about("both") == {mine["id"]}
    assert about("mallory") == set()
    assert theirs["id"] in about("alice")
    assert len(about("alice")) == 2  # the one that was refused, too
    assert about("reader") == set()
    assert about("auditor") >= {mine["id"], theirs["id"]}
    assert not [each for each in of["mallory"] if each["kind"] == "subscription_state"]


def test_usage_is_told_of_ones_own(service: Service) -> None:
    for who in ("alice", "anna", "mallory"):
        service.run(who)

    keys = {each["key"] for each in items(service, "alice", "/v1/usage", group_by="key")}
    of_reader = items(service, "reader", "/v1/usage", group_by="key")
    of_all = {each["key"] for each in items(service, "auditor", "/v1/usage", group_by="key")}

    assert keys == {"alice", "anna"}
    assert of_reader == []
    assert of_all >= {"alice", "anna", "mallory"}


def test_a_key_sees_what_it_used_and_what_is_left(service: Service) -> None:
    spender = service.make(
        KeySpec(name="spender", scopes=("execute",), daily_budget_usd="2", weekly_budget_usd="9")
    )
    service.runner.script = [Completed(result="yes", usage=usage_of("0.5"), model=SONNET)]
    service.run("spender")
    service.run("alice")

    deadline = time.monotonic() + 10  # what it holds is let go a moment after its end
    while (own := spender.get("/v1/usage/own").json())["budgets"]["reserved_usd"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert (own["tenant"], own["key"], own["is_complete"]) == ("spender", "spender", True)
    for span in ("today", "block", "week"):
        assert own[span]["cost_usd"] == 0.5
        assert own[span]["models"][SONNET]["input_tokens"] == 100
    budgets = own["budgets"]
    assert (budgets["daily_usd"], budgets["weekly_usd"]) == (2, 9)
    assert (budgets["daily_left_usd"], budgets["weekly_left_usd"]) == (1.5, 8.5)


def test_the_session_that_was_used_last_is_its_tenants_business(service: Service) -> None:
    service.run("alice")

    def last(who: str) -> list[Any]:
        return [each["session_id"] for each in items(service, who, "/v1/subscriptions")]

    assert last("reader") == [None, None]
    assert any(last("auditor"))


# -- subscriptions and models --------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(service: Service) -> Service:
    """With keys of one team that may use one subscription, or one family of models."""
    everything = ("execute", "read")
    team = {"tenant": "narrow-team"}
    for name, of in {
        "wide": team,
        "sub2-only": {**team, "subscriptions": ("sub2",)},
        "haiku-only": {**team, "models": ("claude-haiku-*",)},
        "sub2-auditor": {"scopes": ("read_all", "admin"), "subscriptions": ("sub2",)},
    }.items():
        service.make(KeySpec.model_validate({"name": name, "scopes": everything, **of}))
    return service


def test_a_key_for_one_subscription_finds_nothing_of_others(narrow: Service) -> None:
    there = narrow.run("wide", subscription_id="sub1")
    here = narrow.run("wide", subscription_id="sub2")

    for who in ("sub2-only", "sub2-auditor"):
        client = narrow[who]
        for path in ("/v1/executions", "/v1/sessions", "/v1/usage?group_by=session"):
            shown = client.get(path).text
            assert there["session_id"] not in shown, path
            assert here["session_id"] in shown, path
        for path in (
            f"/v1/executions/{there['id']}",
            f"/v1/executions/{there['id']}/events",
            f"/v1/sessions/{there['session_id']}",
            *("/v1/subscriptions/sub1", "/v1/subscriptions/sub1/usage"),
            *("/v1/subscriptions/sub1/blocks", "/v1/subscriptions/sub1/health"),
            *("/v1/executions?subscription_id=sub1", "/v1/usage?subscription_id=sub1"),
        ):
            assert client.get(path).status_code == 404, path
        assert [each["id"] for each in items(narrow, who, "/v1/subscriptions")] == ["sub2"]
        assert client.get("/v1/pool").json()["subscriptions"] == 1
        assert "sub1" not in client.get("/metrics").text
        assert "sub1" not in client.post("/v1/route", json={"prompt": "x"}).text


def test_an_administrator_for_one_subscription_changes_no_other(narrow: Service) -> None:
    admin = narrow["sub2-auditor"]

    assert admin.post("/v1/subscriptions/sub1/pause").status_code == 404
    assert admin.patch("/v1/subscriptions/sub1", json={"weight": 3}).status_code == 404
    assert admin.delete("/v1/subscriptions/sub1").status_code == 404
    for path, body in {
        "usage": {"models": {SONNET: {"cost_usd": 1}}},
        "usage/retract": {"ids": ["external:any"]},
        **dict.fromkeys(("resume", "drain")),
    }.items():
        assert admin.post(f"/v1/subscriptions/sub1/{path}", json=body).status_code == 404, path
    assert admin.patch("/v1/subscriptions/sub2", json={"weight": 1}).status_code == 200


def test_why_an_execution_went_where_it_went_names_no_closed_subscription(
    narrow: Service,
) -> None:
    execution = narrow.run("sub2-only")

    assert [each["subscription_id"] for each in execution["routing"]["candidates"]] == ["sub2"]


@pytest.mark.parametrize("wanted", ["sub1", "no-such"])
def test_whether_a_closed_subscription_exists_is_not_told(narrow: Service, wanted: str) -> None:
    answer = ask(narrow, "sub2-only", subscription_id=wanted)

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:claude-pool:not-permitted")


@pytest.mark.parametrize("how", [{}, {"fork_session": True}])
def test_a_session_of_a_closed_subscription_is_not_gone_on_with(
    narrow: Service, how: dict[str, Any]
) -> None:
    there = narrow.run("wide", subscription_id="sub1")

    answer = ask(narrow, "sub2-only", session_id=there["session_id"], **how)

    assert answer.status_code in {403, 404}


def test_a_key_for_some_models_finds_nothing_of_others(narrow: Service) -> None:
    narrow.runner.script = [
        Completed(result="yes", usage=usage_of(model=model), model=model)
        for model in (SONNET, HAIKU)
    ]
    other = narrow.run("wide", model=SONNET)
    mine = narrow.run("wide", model=HAIKU)
    client = narrow["haiku-only"]

    listed = [each["id"] for each in items(narrow, "haiku-only", "/v1/executions")]
    names = [each["id"] for each in client.get("/v1/models").json()["data"]]

    assert mine["id"] in listed
    assert other["id"] not in listed
    assert client.get(f"/v1/executions/{mine['id']}").status_code == 200
    assert client.get(f"/v1/executions/{other['id']}").status_code == 404
    assert client.get(f"/v1/executions/{other['id']}/events").status_code == 404
    assert client.post(f"/v1/executions/{other['id']}/cancel").status_code == 404
    assert names
    assert all("haiku" in name for name in names)
    assert client.get(f"/v1/models/{SONNET}").status_code == 404
    assert ask(narrow, "haiku-only", model=SONNET).status_code == 403
    assert client.post("/v1/route", json={"prompt": "x", "model": SONNET}).status_code == 403


def test_a_new_key_does_not_join_a_tenant_by_its_name(service: Service) -> None:
    made = service["admin"].post("/v1/keys", json={"name": "team"})
    named = service["admin"].post("/v1/keys", json={"name": "third", "tenant": "team"})

    assert (made.status_code, named.status_code) == (409, 201)
    assert named.json()["key"]["tenant"] == "team"


def test_what_a_removed_subscription_has_stays_its_tenants(narrow: Service) -> None:
    client = narrow.pool.client
    narrow.call(lambda: client.add(spec("sub3", max_concurrent=9)))
    mine = narrow.run("wide", subscription_id="sub3")
    narrow.call(lambda: client.remove("sub3"))
    path = f"/v1/executions/{mine['id']}"

    def listed(who: str, **wanted: str) -> bool:
        found = items(narrow, who, "/v1/executions", **wanted)
        return mine["id"] in [each["id"] for each in found]

    assert listed("wide")
    assert listed("wide", subscription_id="sub3")
    assert not listed("both")
    assert not listed("both", subscription_id="sub3")
    assert not listed("sub2-only")
    assert narrow["sub2-only"].get("/v1/executions?subscription_id=sub3").status_code == 404
    whose = ("wide", "auditor", "both", "sub2-only", "haiku-only")
    assert [narrow[who].get(path).status_code for who in whose] == [200, 200, 404, 404, 404]
    assert narrow["both"].post(f"{path}/cancel").status_code == 404
