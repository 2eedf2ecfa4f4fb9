"""Whose rows a store gives to whom, on every engine: what is not a tenant's is not read at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from pool.executions.intent import Intent
from pool.executions.outcome import Completed
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.session import SessionHome
from pool.executions.status import ExecutionStatus
from pool.keys.access import FULL_ACCESS, Access
from pool.storage.directory.claims import NewClaim
from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.subscriptions.consequences.settlement import Settlement
from pool.usage.records import ModelUsage, Usage, UsageRecord
from tests.support.stores.engines import Engine

NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
SONNET = "claude-sonnet-4-5"
ONE, OTHER = Access(tenant="one"), Access(tenant="other")


def session_of(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


def row(name: str, **of: Any) -> ExecutionRow:
    intent = Intent.model_validate(
        {
            "execution_id": name,
            "request": ExecutionRequest(prompt="say yes"),
            "session_id": session_of(name),
            "resumes": False,
            "model": SONNET,
            "timeout_seconds": 600,
            "reserved_nano_usd": 1,
            "routing": Routing(score=1, reason="the only one", candidates=()),
            "created_at": NOW,
        }
        | of
    )
    return ExecutionRow(intent=intent, status=ExecutionStatus.QUEUED)


def answered(begun: ExecutionRow, model: str) -> ExecutionRow:
    change = {
        "status": ExecutionStatus.SUCCEEDED,
        "finished_at": NOW + HOUR,
        "outcome": Completed(result="yes", model=model),
    }
    return begun.model_copy(update=change)


def record(name: str, *, at: datetime = NOW, **of: Any) -> UsageRecord:
    usage = Usage(models={SONNET: ModelUsage(output_tokens=7, cost_nano_usd=30)})
    return UsageRecord(id=name, subscription_id="sub1", timestamp=at, usage=usage, **of)


async def names(ledger: Ledger, access: Access, **of: Any) -> list[str]:
    page = await ledger.executions(limit=50, access=access, **of)
    return [each.intent.execution_id for each in page.items]


async def test_a_tenant_is_given_its_executions_page_by_page(ledger: Ledger) -> None:
    for number in range(10):
        tenant = "one" if number % 3 == 0 else "other"
        at = NOW + number * SECOND
        await ledger.begin(row(f"e{number}", tenant=tenant, created_at=at))

    first = await ledger.executions(limit=3, access=ONE)
    second = await ledger.executions(limit=3, access=ONE, cursor=first.next_cursor)

    found = [each.intent.execution_id for page in (first, second) for each in page.items]
    assert found == ["e9", "e6", "e3", "e0"]
    assert (len(first.items), second.next_cursor) == (3, None)
    assert len(await names(ledger, FULL_ACCESS)) == 10


async def test_what_belongs_to_nobody_is_for_whoever_sees_all(ledger: Ledger) -> None:
    await ledger.begin(row("nobodys"))

    assert await names(ledger, ONE) == []
    assert await names(ledger, FULL_ACCESS) == ["nobodys"]


async def test_a_tenants_executions_are_found_by_status_and_by_session(ledger: Ledger) -> None:
    for name, tenant in (("mine", "one"), ("theirs", "other")):
        begun = row(name, tenant=tenant, session_id=session_of("shared"))
        await ledger.begin(begun)
        await ledger.begin(row(f"{name}-ended", tenant=tenant))
        end = answered(row(f"{name}-ended", tenant=tenant), SONNET)
        await ledger.settle(Settlement(row=end))

    assert await names(ledger, ONE, status=ExecutionStatus.QUEUED) == ["mine"]
    assert await names(ledger, ONE, status=ExecutionStatus.SUCCEEDED) == ["mine-ended"]
    assert await names(ledger, ONE, session_id=session_of("shared")) == ["mine"]


@pytest.mark.parametrize(
    ("models", "found"),
    [
        (("claude-haiku-*",), ["haiku"]),
        (("claude-?onnet-4-5",), ["alias", "sonnet"]),
        (("claude-sonnet-*",), ["alias", "sonnet"]),
        (("sonnet",), ["alias", "sonnet"]),
        (("claude_sonnet*",), []),
        (("*",), ["alias", "haiku", "long", "sonnet"]),
    ],
)
@pytest.mark.parametrize("tenant", ["one", None])
async def test_whoever_may_use_some_models_sees_what_they_ran(
    ledger: Ledger, models: tuple[str, ...], found: list[str], tenant: str | None
) -> None:
    asked = {
        "alias": "sonnet",
        "haiku": "claude-haiku-4-5",
        "long": "claude-opus-4-5[1m]",
        "sonnet": SONNET,
    }
    for name, model in asked.items():
        await ledger.begin(row(name, tenant="one", model=model))
    await ledger.settle(
        Settlement(row=answered(row("alias", tenant="one", model="sonnet"), SONNET))
    )

    access = Access(tenant=tenant, models=models)

    assert sorted(await names(ledger, access)) == found
    assert await names(ledger, access, session_id=session_of("haiku")) == (
        ["haiku"] if "haiku" in found else []
    )


async def test_a_tenant_is_given_its_usage_and_all_is_counted(ledger: Ledger) -> None:
    await ledger.record(record("mine", tenant="one"))
    await ledger.record(record("theirs", tenant="other"))
    await ledger.record(record("nobodys"))
    await ledger.record(record("later", at=NOW + HOUR, tenant="one"))

    page = await ledger.usage(limit=9, until=NOW + HOUR, tenant="one")

    assert [each.id for each in page.items] == ["mine"]
    assert await ledger.count_records(NOW, NOW + HOUR) == 3


async def test_a_key_keeps_what_it_had_before_there_were_tenants(engine: Engine) -> None:
    ended = answered(row("ended", caller="one", model="sonnet"), SONNET)
    records = [record("mine", caller="one"), record("nobodys")]
    rows = [row("mine", caller="one"), row("theirs", caller="other"), row("nobodys"), ended]
    await engine.make_earlier(rows, records)

    ledger = await engine.stores.open_ledger("sub1")
    found = await names(ledger, ONE)
    of_sonnet = await names(ledger, Access(models=("claude-sonnet-4-5",)))
    usage = await ledger.usage(limit=9, tenant="one")
    await ledger.close()

    assert found == ["mine", "ended"]
    assert of_sonnet == ["theirs", "nobodys", "mine", "ended"]
    assert [each.id for each in usage.items] == ["mine"]


# -- sessions ------------------------------------------------------------------------------------


async def begin(directory: Directory, name: str, tenant: str | None, at: str = "sub1") -> None:
    claim = {"execution_id": f"e-{name}", "digest": "d", "at": NOW, "session_id": name}
    await directory.claim(NewClaim.model_validate(claim | {"tenant": tenant}), at)


async def sessions(directory: Directory, access: Access, **of: Any) -> list[str]:
    page = await directory.session_homes(limit=9, access=access, **of)
    return sorted(each.session_id for each in page.items)


async def test_a_session_belongs_to_whoever_began_it(directory: Directory) -> None:
    await begin(directory, "mine", "one")
    await begin(directory, "theirs", "other")
    await begin(directory, "nobodys", None)

    home = await directory.session_home("mine")

    assert home == SessionHome(session_id="mine", subscription_id="sub1", used_at=NOW, tenant="one")
    assert await sessions(directory, ONE) == ["mine"]
    assert await sessions(directory, FULL_ACCESS) == ["mine", "nobodys", "theirs"]


async def test_a_session_stays_with_its_tenant_and_one_of_nobody_is_taken(
    directory: Directory,
) -> None:
    await begin(directory, "mine", "one")
    await begin(directory, "nobodys", None)
    for name in ("mine", "nobodys"):
        claim = {"execution_id": f"next-{name}", "digest": "d", "at": NOW, "session_id": name}
        await directory.claim(NewClaim.model_validate(claim | {"tenant": "other"}), "sub1")

    assert await sessions(directory, ONE) == ["mine"]
    assert await sessions(directory, OTHER) == ["nobodys"]


async def test_whoever_may_use_some_subscriptions_sees_the_sessions_there(
    directory: Directory,
) -> None:
    for number, at in enumerate(("sub_1", "sub-1", "subx1", "other")):
        await begin(directory, f"s{number}", "one", at)

    async def found(*patterns: str, tenant: str | None = "one") -> list[str]:
        return await sessions(directory, Access(tenant=tenant, subscriptions=patterns))

    assert await found("sub_1") == ["s0"]
    assert await found("sub?1") == ["s0", "s1", "s2"]
    assert await found("sub-*", "oth*", tenant=None) == ["s1", "s3"]
    assert await sessions(directory, ONE, subscription_id="sub-1") == ["s1"]


async def test_tenants_move_with_their_rows(engine: Engine, ledger: Ledger) -> None:
    await ledger.begin(row("mine", tenant="one", reserved_nano_usd=5))
    await ledger.record(record("r", tenant="one"))
    portions = [portion async for portion in ledger.export()]

    copy = await engine.stores.open_ledger("copy")
    for portion in portions:
        await copy.load(portion)
    found = await names(copy, ONE), await names(copy, OTHER)
    usage = await copy.usage(limit=9, tenant="one")
    await copy.close()

    assert found == (["mine"], [])
    assert [each.id for each in usage.items] == ["r"]
