from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.server.checkup import Finding, examine

ENVIRON = {"PATH": "/usr/bin:/bin", "A": "test-token-a", "B": "test-token-b"}

Configured = Callable[..., Path]


def fake_cli(folder: Path, version: str = "2.1.330", status: str | None = None) -> Path:
    """A program that answers as the CLI does: signed in wherever it is given a token."""
    answer = status or '{"loggedIn": true, "authMethod": "oauth_token"}'
    script = folder / "fake-claude"
    script.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "{version} (Claude Code)" && exit 0\n'
        '[ -z "$CLAUDE_CODE_OAUTH_TOKEN" ] && echo \'{"loggedIn": false}\' && exit 1\n'
        f"echo '{answer}'\n"
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Write a pool.toml with these subscriptions: id to credential variable or config directory."""

    def write(cli: Path | None = None, head: str = "", **subscriptions: str) -> Path:
        lines = [head, "[claude]", f'path = "{cli or fake_cli(tmp_path)}"']
        for name, value in subscriptions.items():
            lines += ["[[subscriptions]]", f'id = "{name}"']
            if value.startswith("/"):
                lines.append(f'config_dir = "{value}"')
            else:
                lines.append(f'credential = {{ oauth_token_env = "{value}" }}')
        path = tmp_path / "pool.toml"
        path.write_text("\n".join(lines))
        return path

    return write


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


async def test_a_good_configuration_has_no_complaints(configured: Configured) -> None:
    findings = await examine(configured(a="A", b="B"), ENVIRON)

    assert {finding.level for finding in findings} == {"ok"}
    assert {"claude", "data_dir", "a", "b"} <= {finding.subject for finding in findings}
    assert "2.1.330" in by_subject(findings)["claude"].message


def offering_cli(folder: Path, *models: str) -> Path:
    """A fake one that also says which models it offers."""
    told = [{"value": name, "resolvedModel": f"claude-{name}-5-5"} for name in models]
    answer = {"type": "control_response", "response": {"response": {"models": told}}}
    script = fake_cli(folder)
    lines = script.read_text().splitlines()
    lines.insert(1, f"[ \"$1\" = -p ] && cat > /dev/null && echo '{json.dumps(answer)}' && exit 0")
    script.write_text("\n".join(lines))
    return script


@pytest.mark.parametrize(
    ("model", "level"),
    [("sonnet", "ok"), ("claude-sonnet-5-5", "ok"), ("claude-sonnet-4-5", "warning")],
)
async def test_a_model_that_the_cli_does_not_offer_is_a_warning(
    configured: Configured, tmp_path: Path, model: str, level: str
) -> None:
    path = configured(offering_cli(tmp_path, "sonnet", "haiku"), a="A")
    path.write_text(path.read_text().replace("[claude]", f'[claude]\nmodel = "{model}"'))

    found = by_subject(await examine(path, ENVIRON))["models"]

    assert found.level == level
    assert "haiku, sonnet" in found.message
    assert (model in found.message) == (level == "warning" or model == "sonnet")


async def test_a_configuration_that_cannot_be_read_ends_the_examination(tmp_path: Path) -> None:
    *_, last = await examine(tmp_path / "missing.toml", ENVIRON)

    assert last.level == "problem"
    assert "there is no such file" in last.message


async def test_a_missing_cli_is_a_problem(configured: Configured) -> None:
    findings = by_subject(await examine(configured(Path("/nowhere/claude"), a="A"), ENVIRON))

    assert findings["claude"].level == "problem"
    assert findings["a"].level == "warning"


async def test_a_cli_that_is_too_old_is_a_problem(configured: Configured, tmp_path: Path) -> None:
    old = fake_cli(tmp_path, version="2.1.197")

    findings = by_subject(await examine(configured(old, a="A"), ENVIRON))

    assert findings["claude"].level == "problem"
    assert "2.1.197" in findings["claude"].message


async def test_a_credential_that_is_not_set_is_a_problem_of_its_subscription(
    configured: Configured,
) -> None:
    findings = by_subject(await examine(configured(a="A", c="C"), ENVIRON))

    assert findings["a"].level == "ok"
    assert findings["c"].level == "problem"
    assert "variable C is not set" in findings["c"].message


async def test_a_directory_that_is_not_there_is_a_problem_of_its_subscription(
    configured: Configured,
) -> None:
    findings = by_subject(await examine(configured(a="/nowhere/at/all"), ENVIRON))

    assert findings["a"].level == "problem"
    assert "/nowhere/at/all" in findings["a"].message


async def test_a_subscription_that_is_not_signed_in_is_told_how_to(
    configured: Configured, tmp_path: Path
) -> None:
    (tmp_path / "subscription").mkdir()

    findings = by_subject(await examine(configured(a=str(tmp_path / "subscription")), ENVIRON))

    assert findings["a"].level == "problem"
    assert f"CLAUDE_CONFIG_DIR={tmp_path}/subscription claude /login" in findings["a"].message


@pytest.mark.parametrize(
    ("days", "level", "text"),
    [
        (20, "ok", "its login ends by"),
        (2, "warning", "its login ends by"),
        (-1, "warning", "ended"),
    ],
)
async def test_a_login_that_ends_is_told_and_days_before_a_warning(
    configured: Configured, tmp_path: Path, days: int, level: str, text: str
) -> None:
    subscription = tmp_path / "subscription"
    subscription.mkdir()
    ends_at = (datetime.now(UTC) + timedelta(days=days)).timestamp() * 1000
    login = {"accessToken": "test-a", "refreshToken": "test-r", "refreshTokenExpiresAt": ends_at}
    (subscription / ".credentials.json").write_text(json.dumps({"claudeAiOauth": login}))
    cli = tmp_path / "cli"
    cli.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "2.1.330 (Claude Code)" && exit 0\n'
        'echo \'{"loggedIn": true, "authMethod": "claude.ai"}\'\n'
    )
    cli.chmod(0o755)

    found = by_subject(await examine(configured(cli, a=str(subscription)), ENVIRON))["a"]

    assert found.level == level
    assert text in found.message
    assert (f"CLAUDE_CONFIG_DIR={subscription} claude /login" in found.message) == (
        level == "warning"
    )
    assert "test-a" not in found.message
    assert "test-r" not in found.message


async def test_two_subscriptions_with_one_token_are_one_account(configured: Configured) -> None:
    twins = {**ENVIRON, "B": ENVIRON["A"]}

    findings = by_subject(await examine(configured(a="A", b="B"), twins))

    assert findings["a and b"].level == "warning"
    assert "same credential" in findings["a and b"].message
    assert ENVIRON["A"] not in str(findings)


@pytest.mark.parametrize("field", ["email", "accountUuid"])
async def test_two_subscriptions_that_the_cli_names_alike_are_one_account(
    configured: Configured, tmp_path: Path, field: str
) -> None:
    status = json.dumps({"loggedIn": True, field: "user1@example.com"})

    findings = by_subject(
        await examine(configured(fake_cli(tmp_path, status=status), a="A", b="B"), ENVIRON)
    )

    assert "one account" in findings["a and b"].message


async def test_two_subscriptions_in_one_directory_are_told(
    configured: Configured, tmp_path: Path
) -> None:
    (tmp_path / "subscription").mkdir()
    same = {
        "a": str(tmp_path / "subscription"),
        "b": str(tmp_path / "subscription" / ".." / "subscription"),
    }

    findings = by_subject(await examine(configured(**same), ENVIRON))

    assert "same config_dir" in findings["a and b"].message


async def test_a_directory_that_cannot_be_written_is_a_problem_of_its_subscription(
    configured: Configured,
) -> None:
    findings = by_subject(await examine(configured(a="/proc"), ENVIRON))

    assert findings["a"].level == "problem"
    assert "subscriptions.a.config_dir: /proc cannot be written" in findings["a"].message


@pytest.mark.parametrize(
    ("environ", "level", "told"),
    [
        ({}, "ok", "/tmp"),
        ({"TMPDIR": "/nowhere"}, "warning", "/nowhere is no directory: Ray's files go to /tmp"),
        ({"TMPDIR": "/" + "x" * 99}, "warning", "is too long for the sockets in it"),
        ({"RAY_TMPDIR": "/nowhere"}, "problem", "RAY_TMPDIR: /nowhere is no directory"),
    ],
)
async def test_where_ray_keeps_its_files_is_told(
    configured: Configured, environ: dict[str, str], level: str, told: str
) -> None:
    findings = by_subject(await examine(configured(a="A"), {**ENVIRON, **environ}))

    assert findings["temporary files"].level == level
    assert told in findings["temporary files"].message


async def test_a_pool_that_joins_a_cluster_makes_no_directory_for_ray(
    configured: Configured,
) -> None:
    joins = '[ray]\naddress = "127.0.0.1:6379"'

    findings = by_subject(
        await examine(configured(head=joins, a="A"), {**ENVIRON, "RAY_TMPDIR": "/nowhere"})
    )

    assert "temporary files" not in findings


async def test_proxies_are_named(configured: Configured) -> None:
    behind = {**ENVIRON, "HTTPS_PROXY": "http://user:secret@proxy:3128"}

    findings = by_subject(await examine(configured(a="A"), behind))

    assert "HTTPS_PROXY" in findings["proxies"].message
    assert "secret" not in str(findings)


async def test_a_data_directory_that_is_a_file_is_a_problem(
    configured: Configured, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    head = f'[pool]\ndata_dir = "{tmp_path}/file/data"'

    findings = by_subject(await examine(configured(head=head, a="A"), ENVIRON))

    assert findings["data_dir"].level == "problem"


async def test_a_key_that_is_not_set_is_a_problem(configured: Configured) -> None:
    head = '[[api_keys]]\nname = "ci"\nkey_env = "CI_KEY"'

    findings = by_subject(await examine(configured(head=head, a="A"), ENVIRON))

    assert findings["key ci"].level == "problem"


async def test_a_pool_without_a_subscription_is_warned_of(configured: Configured) -> None:
    findings = by_subject(await examine(configured(), ENVIRON))

    assert findings["subscriptions"].level == "warning"


async def test_what_is_not_on_this_node_of_a_cluster_may_be_on_another(
    configured: Configured, tmp_path: Path
) -> None:
    head = '[ray]\naddress = "127.0.0.1:9"'
    path = configured(head=head, a="A", elsewhere=str(tmp_path / "not-here"))

    found = by_subject(await examine(path, ENVIRON))

    assert (found["a"].level, found["elsewhere"].level) == ("ok", "warning")
    assert "not on this node" in found["elsewhere"].message
    assert found["ray.address"].level == "problem"
    assert "no Ray answers at 127.0.0.1:9" in found["ray.address"].message
    assert "name a PostgreSQL database" in found["pool.store"].message
