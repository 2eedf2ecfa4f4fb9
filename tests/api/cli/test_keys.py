from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from click.testing import Result

Cli = Callable[..., Awaitable[Result]]


@pytest.fixture
async def as_admin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with the first key that was made."""
    made = await cli("keys", "create", "ops", "--scope", "admin", "--scope", "read")
    monkeypatch.setenv("CLAUDE_POOL_KEY", made.stdout.strip())
    return cli


async def keys(cli: Cli) -> dict[str, dict[str, object]]:
    listed = json.loads((await cli("keys", "list", "--json")).stdout)
    return {each["name"]: each for each in listed["items"]}


async def test_a_key_is_made_and_stands_alone_on_standard_output(as_admin: Cli) -> None:
    made = await as_admin(
        *("keys", "create", "ci", "--daily-budget", "12.5", "--max-concurrent", "2"),
        *("--model", "claude-haiku-*", "--tool", "Read", "--directory", "/srv/work"),
        *("--requests-per-minute", "30", "--expires-in-days", "36000", "--tenant", "web"),
    )

    key = (await keys(as_admin))["ci"]
    assert made.stdout == f"{made.stdout.strip()}\n"
    assert made.stdout.startswith(f"cp_{key['id']}_")
    assert "keep it, it is not shown again" in made.stderr
    assert (key["daily_budget_usd"], key["max_concurrent"]) == (12.5, 2)
    assert (key["models"], key["tools"]) == (["claude-haiku-*"], ["Read"])
    assert (key["working_directories"], key["scopes"]) == (["/srv/work"], ["execute", "read"])
    assert key["expires_at"] is not None
    assert key["tenant"] == "web"
    assert " web " in (await as_admin("keys", "list")).stdout


async def test_the_list_shows_each_key_without_its_secret(as_admin: Cli) -> None:
    made = await as_admin("keys", "create", "ci", "--weekly-budget", "3")

    listed = (await as_admin("keys", "list")).stdout

    assert "ops" in listed
    assert "3 USD/week" in listed
    assert made.stdout.strip().split("_", 2)[2] not in listed


async def test_a_key_is_rotated_and_revoked(as_admin: Cli) -> None:
    await as_admin("keys", "create", "ci")
    id_ = str((await keys(as_admin))["ci"]["id"])

    turned = await as_admin("keys", "rotate", id_, "--grace-seconds", "60")
    revoked = await as_admin("keys", "revoke", id_)

    assert turned.stdout.startswith(f"cp_{id_}_")
    assert "valid for another 60 s" in turned.stderr
    assert revoked.stdout == f"{id_} is revoked\n"
    assert (await keys(as_admin))["ci"]["revoked_at"] is not None


async def test_what_the_service_refuses_ends_with_1(as_admin: Cli) -> None:
    twice = await as_admin("keys", "create", "ops")
    unknown = await as_admin("keys", "revoke", "nobody")

    assert (twice.exit_code, unknown.exit_code) == (1, 1)
    assert "'ops'" in twice.stderr
    assert "no key 'nobody'" in unknown.stderr


async def test_without_its_key_the_command_line_is_told_to_bring_one(
    as_admin: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    await as_admin("keys", "list")
    monkeypatch.delenv("CLAUDE_POOL_KEY")

    refused = await as_admin("keys", "list")

    assert refused.exit_code == 1
    assert "send a key of this pool" in refused.stderr
