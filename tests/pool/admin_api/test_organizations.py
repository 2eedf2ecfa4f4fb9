from __future__ import annotations

from typing import Any

import pytest

from pool.admin_api.organizations import (
    Account,
    Organization,
    costs_of,
    emails_of,
    kinds,
    people_of,
)
from pool.admin_api.reports import CostBucket, CostRow, PersonUsage
from pool.config import check, parse
from pool.errors import ConfigError
from pool.reconciliation.findings import ReportKind
from pool.usage.records import ModelUsage
from tests.support.values.examples import NOON


def organization(**settings: Any) -> dict[str, Any]:
    return {"id": "acme", "admin_key_env": "ACME_KEY", "subscriptions": ["a"], **settings}


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (
            {"organizations": [organization(), organization()]},
            "pool.toml",
            "organization id 'acme' appears more than once",
        ),
        (
            {"organizations": [organization(id="much/too:odd")]},
            "organizations[0].id",
            "String should match pattern",
        ),
        (
            {"organizations": [organization(subscriptions=[])]},
            "organizations[0].subscriptions",
            "at least 1 item",
        ),
        (
            {"organizations": [organization(admin_key="sk-ant-admin01-x")]},
            "organizations[0].admin_key",
            "is not a known setting",
        ),
        (
            {"reconciliation": {"base_url": "http://api.example.com"}},
            "reconciliation.base_url",
            "should begin with https://",
        ),
        (
            {"reconciliation": {"interval_seconds": 1}},
            "reconciliation.interval_seconds",
            "greater than or equal to 60",
        ),
        (
            {
                "reconciliation": {"adjust": True},
                "organizations": [organization(subscriptions=["a", "b"])],
            },
            "pool.toml",
            "whose ledger an adjustment belongs to",
        ),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(document)

    assert raised.value.field == field
    assert problem in raised.value.problem
    assert "sk-ant" not in str(raised.value)


def test_a_key_that_is_not_set_stops_the_start() -> None:
    config = parse({"organizations": [organization()]})

    with pytest.raises(ConfigError) as raised:
        check(config, {})

    assert raised.value.field == "organizations[0].admin_key_env"
    check(config, {"ACME_KEY": "sk-ant-admin01-x"})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost", "https://x.example"])
def test_plain_http_is_for_this_machine(url: str) -> None:
    assert parse({"reconciliation": {"base_url": url}}).reconciliation.base_url == url.rstrip("/")


def test_the_claude_code_report_is_looked_at_where_there_are_people() -> None:
    key, account = (
        Account(subscription_id="a", kind="api_key"),
        Account(subscription_id="b", kind="team"),
    )

    assert ReportKind.CLAUDE_CODE not in kinds(Organization(**organization()), [key])
    assert ReportKind.CLAUDE_CODE in kinds(Organization(**organization()), [key, account])
    assert ReportKind.CLAUDE_CODE in kinds(Organization(**organization(emails=["A@b.c"])), [key])


def test_costs_of_other_workspaces_are_not_ours() -> None:
    rows = (
        CostRow(workspace_id="ours", subject="m-20250929", cost_nano_usd=1),
        CostRow(workspace_id="ours", subject="m", cost_nano_usd=2),
        CostRow(workspace_id="theirs", subject="m", cost_nano_usd=4),
        CostRow(workspace_id=None, subject="m", cost_nano_usd=8),
    )
    day = CostBucket(starts_at=NOON, rows=rows)

    ours = costs_of(Organization(**organization(workspace_ids=["ours"])), day)
    everything = costs_of(Organization(**organization()), day)

    assert ours == {"m": ModelUsage(cost_nano_usd=3)}
    assert everything == {"m": ModelUsage(cost_nano_usd=15)}


def test_persons_are_known_by_email_in_any_case() -> None:
    accounts = [
        Account(subscription_id="a", kind="team", email="One@example.com"),
        Account(subscription_id="b", kind="max", email="private@example.com"),
    ]
    emails = emails_of(Organization(**organization(emails=["Two@example.com"])), accounts)
    rows = [
        PersonUsage(email=f"{name}@example.com", model="m", usage=ModelUsage(input_tokens=1))
        for name in ("one", "two", "private")
    ]

    assert set(people_of(emails, rows)) == {("one@example.com", "m"), ("two@example.com", "m")}
