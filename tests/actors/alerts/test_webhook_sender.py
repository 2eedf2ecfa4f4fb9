from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address

import pytest

from actors.alerts.webhook_sender import WebhookSender
from pool.alerts.alerts import Alert, AlertKind, happened
from pool.alerts.ssrf import Address
from pool.alerts.webhooks import Webhook, WebhookSpec, signing_key
from tests.support.services.receiver import SECRET, Receiver
from tests.support.values.examples import NOON


def alert() -> Alert:
    return happened(AlertKind.COOLDOWN, "sub1", "sub1 takes no work", key="1", now=NOON)


def webhook(url: str, *, allow_private: bool = True) -> Webhook:
    spec = WebhookSpec(name="ops", url=url, secret_env="OPS", allow_private=allow_private)
    return Webhook(spec, signing_key(SECRET))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = await Receiver().start()
    yield receiver
    await receiver.close()


@pytest.fixture
async def posting() -> AsyncIterator[WebhookSender]:
    posting = WebhookSender(seconds=2)
    yield posting
    await posting.close()


async def test_a_receiver_can_verify_what_it_was_sent(
    posting: WebhookSender, receiver: Receiver
) -> None:
    answer = await posting.post(webhook(receiver.url(path="/hook?a=1")), alert(), NOON)

    (sent,) = receiver.received
    assert answer.is_taken
    assert sent.is_genuine()
    assert not sent.is_genuine("whsec_" + "A" * 32)
    assert (sent.id, sent.target) == (alert().id, "/hook?a=1")
    assert sent.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert sent.json["data"]["message"] == "sub1 takes no work"


async def test_a_name_is_connected_to_at_the_address_that_was_judged(receiver: Receiver) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return (ip_address("127.0.0.1"),)

    posting = WebhookSender(resolve)
    answer = await posting.post(webhook(receiver.url("hooks.invalid")), alert(), NOON)
    await posting.close()

    assert answer.is_taken
    assert asked == ["hooks.invalid"]
    assert receiver.received[0].headers["host"] == f"hooks.invalid:{receiver.port}"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_public(
    posting: WebhookSender, receiver: Receiver, host: str
) -> None:
    answer = await posting.post(webhook(receiver.url(host), allow_private=False), alert(), NOON)

    assert "its address is refused" in answer.problem
    assert not answer.is_taken
    assert receiver.received == []


async def test_a_name_is_judged_anew_at_every_delivery(receiver: Receiver) -> None:
    answers = [("127.0.0.1",), ("8.8.8.8", "127.0.0.1")]

    async def resolve(host: str, port: int) -> Sequence[Address]:
        return tuple(ip_address(each) for each in answers.pop(0))

    posting = WebhookSender(resolve)
    url = receiver.url("hooks.invalid")
    first = await posting.post(webhook(url), alert(), NOON)
    rebound = await posting.post(webhook(url, allow_private=False), alert(), NOON)
    await posting.close()

    assert first.is_taken
    assert "127.0.0.1 is a loopback address" in rebound.problem
    assert len(receiver.received) == 1


async def test_no_redirect_is_followed(posting: WebhookSender, receiver: Receiver) -> None:
    elsewhere = await Receiver().start()
    receiver.script = [302, 307, 308]
    receiver.answer_headers = {"location": elsewhere.url()}

    answers = [await posting.post(webhook(receiver.url()), alert(), NOON) for _ in range(3)]
    await elsewhere.close()

    assert [each.status for each in answers] == [302, 307, 308]
    assert not any(each.is_taken for each in answers)
    assert elsewhere.received == []


async def test_a_receiver_that_hangs_is_left_after_a_while(receiver: Receiver) -> None:
    posting = WebhookSender(seconds=0.2)
    receiver.script = [0]

    answer = await posting.post(webhook(receiver.url()), alert(), NOON)
    await posting.close()

    assert answer.problem == "it did not answer within 0.2 s"


async def test_the_next_address_is_tried_where_one_takes_no_connection(receiver: Receiver) -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return ip_address("127.77.77.77"), ip_address("127.0.0.1")

    posting = WebhookSender(resolve, seconds=5)
    answer = await posting.post(webhook(receiver.url("hooks.invalid")), alert(), NOON)
    await posting.close()

    assert answer.is_taken


@pytest.mark.parametrize("host", ["no-such-name.invalid", "127.0.0.1"])
async def test_a_problem_never_quotes_the_url(posting: WebhookSender, host: str) -> None:
    answer = await posting.post(webhook(f"http://{host}:1/token-abc"), alert(), NOON)

    assert answer.status is None
    assert answer.problem
    assert "token-abc" not in answer.problem


async def test_a_proxy_of_the_environment_is_not_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await Receiver().start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

    posting = WebhookSender()
    await posting.post(webhook(receiver.url()), alert(), NOON)
    await posting.close()
    await proxy.close()

    assert (len(receiver.received), len(proxy.received)) == (1, 0)
