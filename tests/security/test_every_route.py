"""Every address, with every scope, asked for one's own and for another's.

The table says of each address who gets what; a route that is not in it fails the test of the whole.
All of it is asked over HTTP, of a service that knows the keys of ``many_callers``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.callers.many_callers import ANONYMOUS, Service, many_callers
from tests.support.callers.route_table import EVERYBODY, NOT_IN_THE_DOCUMENT, TABLE, Thing


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with many_callers(tmp_path_factory.mktemp("pool")) as service:
        yield service


def test_the_table_has_every_route_of_the_document(service: Service) -> None:
    document = service[ANONYMOUS].get("/openapi.json").json()
    routes = {(how.upper(), path) for path, each in document["paths"].items() for how in each}

    assert {*TABLE} == routes | NOT_IN_THE_DOCUMENT


def _status(service: Service, who: str, method: str, path: str, body: Any) -> int:
    """Of the head of the answer: a stream goes on."""
    with service[who].stream(method, path, json=body) as answer:
        return answer.status_code


@pytest.mark.parametrize(("method", "route"), TABLE, ids=map(" ".join, TABLE))
def test_each_caller_gets_what_the_table_says(service: Service, method: str, route: str) -> None:
    each = TABLE[method, route]
    assert each.path is not None
    thing = service.run("alice")
    is_changed = method != "GET" and each.path(thing) != each.path(service.run("alice"))
    for who in EVERYBODY:
        thing = service.run("alice") if is_changed else thing
        status = _status(service, who, method, each.path(thing), each.body)
        told = f"{who}: {status}"

        if who in each.granted:
            assert status not in {401, 403}, told
            assert status < 300 or status == each.refused or not each.hidden, told
        elif who == ANONYMOUS:
            assert status == 401, told
        else:
            assert status == (404 if who in each.hidden else 403), told


LISTS = [key for key, each in TABLE.items() if each.shows is not None and key[1] != "/v1/events"]


@pytest.mark.parametrize(("method", "route"), LISTS, ids=map(" ".join, LISTS))
def test_a_list_holds_what_is_ones_own(service: Service, method: str, route: str) -> None:
    each = TABLE[method, route]
    assert each.path is not None
    assert each.shows is not None
    thing = service.run("alice")

    for who in each.granted:
        shown = service[who].request(method, each.path(thing)).text

        assert (thing["session_id"] in shown) == (who in each.shows), who


HIDDEN = [key for key, each in TABLE.items() if each.hidden]


@pytest.mark.parametrize(("method", "route"), HIDDEN, ids=map(" ".join, HIDDEN))
def test_what_is_anothers_is_answered_as_what_is_not_there(
    service: Service, method: str, route: str
) -> None:
    each = TABLE[method, route]
    assert each.path is not None
    thing = service.run("alice")
    absent = {**thing, "id": "exec_0", "session_id": "0b6f1c9e-8f35-4b0e-8b4b-0d5c2f6a7e11"}

    for who in each.hidden:
        of_another = service[who].request(method, each.path(thing), json=each.body)
        unknown = service[who].request(method, each.path(absent), json=each.body)

        assert (of_another.status_code, unknown.status_code) == (404, 404)
        assert _plain(of_another, thing) == _plain(unknown, absent)


def _plain(answer: httpx.Response, thing: Thing) -> Any:
    """A problem without the id that it is about, or that of its response."""
    text = answer.text
    for name in ("id", "session_id"):
        text = text.replace(thing[name], name)
    text = text.replace(thing["id"].replace("exec_", "resp_"), "id")
    return {
        "body": json.loads(text),
        "headers": {*answer.headers} - {"request-id", "x-request-id"},
    }
