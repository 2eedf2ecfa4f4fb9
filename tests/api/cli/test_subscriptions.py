from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import Result

from pool.usage.reported import ReportedUsage
from tests.support.pools.localpool import LocalPool

Cli = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
async def warm(cli: Cli) -> None:
    """Wait until the router has heard of every subscription."""
    await cli("run", "say yes")


async def test_the_list_shows_every_subscription(cli: Cli) -> None:
    result = await cli("subscriptions", "list")

    assert "sub1" in result.stdout
    assert "sub3" in result.stdout


async def test_the_list_is_there_as_json(cli: Cli) -> None:
    result = await cli("subscriptions", "list", "--json")

    assert [each["id"] for each in json.loads(result.stdout)["items"]] == ["sub1", "sub2", "sub3"]


async def test_one_is_shown_with_what_its_health_is_made_of(cli: Cli) -> None:
    result = await cli("subscriptions", "show", "sub1")

    assert "of the health score" in result.stdout
    assert "of the week is used" in result.stdout
    assert "Anthropic has reported no limits yet." in result.stdout


async def test_a_pause_is_confirmed_with_its_reason(cli: Cli) -> None:
    result = await cli("subscriptions", "pause", "sub1")

    assert result.stdout == "sub1 is paused: paused by an operator; resume it to use it\n"


async def test_resume_and_drain_are_confirmed(cli: Cli) -> None:
    drained = await cli("subscriptions", "drain", "sub1")
    resumed = await cli("subscriptions", "resume", "sub1")

    assert drained.stdout.startswith("sub1 is draining:")
    assert resumed.stdout.startswith("sub1 is available:")


async def test_one_can_be_added_and_removed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUB9_TOKEN", "test-token-i")

    added = await cli(
        *("subscriptions", "add", "sub9", "--oauth-token-env", "SUB9_TOKEN"),
        *("--config-dir", str(tmp_path), "--weekly-budget", "12.5", "--max-concurrent", "1"),
    )
    shown = await cli("subscriptions", "show", "sub9", "--json")
    removed = await cli("subscriptions", "remove", "sub9")

    assert added.stdout.startswith("sub9 is available:")
    assert json.loads(shown.stdout)["weekly"]["budget_usd"] == 12.5
    assert (removed.exit_code, removed.stdout) == (0, "sub9 is removed\n")


async def test_one_that_cannot_be_used_is_refused_by_field(cli: Cli) -> None:
    result = await cli("subscriptions", "add", "sub9", "--oauth-token-env", "NOT_SET_ANYWHERE")

    assert result.exit_code == 1
    assert "credential: the environment variable NOT_SET_ANYWHERE is not set" in result.stderr


async def test_an_unknown_one_ends_with_1(cli: Cli) -> None:
    result = await cli("subscriptions", "show", "nobody")

    assert result.exit_code == 1
    assert "no subscription 'nobody'" in result.stderr


async def test_usage_that_was_reported_by_mistake_is_taken_back(
    cli: Cli, local_pool: LocalPool
) -> None:
    for number in range(3):
        await local_pool.client.report_usage("sub1", reported(f"u-{number}"))

    by_id = await cli("subscriptions", "retract-usage", "sub1", "external:u-0")
    period = ("--since", "2026-01-01T00:00:00Z", "--until", "2027-01-01T00:00:00Z")
    rest = await cli("subscriptions", "retract-usage", "sub1", "--source", "external", *period)

    assert by_id.stdout == "sub1: 1 records taken back, $1.50\n"
    assert rest.stdout == "sub1: 2 records taken back, $3.00\n"


def reported(id_: str) -> ReportedUsage:
    return ReportedUsage.model_validate({"id": id_, "models": {"opus": {"cost_usd": "1.5"}}})
