from __future__ import annotations

from pathlib import Path

import pytest

from pool.claude.launch.environment import environment
from pool.errors import ConfigError
from pool.subscriptions.spec import Credential, SubscriptionSpec

OAUTH = Credential(oauth_token_env="SUB1_TOKEN")
API_KEY = Credential(api_key_env="SUB1_KEY")
PARENT = {
    "PATH": "/usr/bin",
    "LANG": "de_DE.UTF-8",
    "HTTPS_PROXY": "http://proxy:3128",
    "SUB1_TOKEN": "test-token-a\n",
    "SUB1_KEY": "test-token-k",
    "ANTHROPIC_API_KEY": "test-token-b",
    "CLAUDE_CODE_OAUTH_TOKEN": "test-token-c",
    "CLAUDE_CONFIG_DIR": "/elsewhere",
    "AWS_SECRET_ACCESS_KEY": "test-token-d",
    "LD_PRELOAD": "/evil.so",
}


def made(
    credential: Credential | None = OAUTH,
    extra: dict[str, str] | None = None,
    *,
    parent: dict[str, str] = PARENT,
    is_root: bool = False,
) -> dict[str, str]:
    return environment(
        SubscriptionSpec(id="sub1", credential=credential),
        parent=parent,
        config_dir=Path("/subscriptions/sub1"),
        home=Path("/home/pool"),
        extra=extra or {},
        is_root=is_root,
    )


def test_the_whole_environment_of_a_run() -> None:
    assert made() == {
        "PATH": "/usr/bin",
        "LANG": "de_DE.UTF-8",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
        "HOME": "/home/pool",
        "CLAUDE_CONFIG_DIR": "/subscriptions/sub1",
        "CLAUDE_CODE_OAUTH_TOKEN": "test-token-a",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",
    }


@pytest.mark.parametrize(
    ("credential", "secrets"),
    [(OAUTH, {"test-token-a"}), (API_KEY, {"test-token-k"}), (None, set())],
)
def test_no_more_than_one_credential_is_seen(
    credential: Credential | None, secrets: set[str]
) -> None:
    assert {value for value in made(credential).values() if "test-token" in value} == secrets


def test_root_must_say_that_it_is_in_a_sandbox() -> None:
    assert made(is_root=True)["IS_SANDBOX"] == "1"


def test_what_the_operator_adds_comes_last() -> None:
    extra = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "CLAUDE_CODE_MAX_RETRIES": "3"}

    result = made(extra=extra)

    assert extra.items() <= result.items()


@pytest.mark.parametrize(
    "name",
    ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"],
)
def test_what_the_operator_adds_cannot_be_a_second_credential(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        made(extra={name: "test-token-z"})

    assert raised.value.field == f"claude.env.{name}"
    assert "test-token-z" not in str(raised.value)


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_credential_that_is_not_there_is_named(value: str | None) -> None:
    parent = {} if value is None else {"SUB1_TOKEN": value}

    with pytest.raises(ConfigError) as raised:
        made(parent=parent)

    assert raised.value.field == "subscriptions.sub1.credential.oauth_token_env"
    assert "SUB1_TOKEN" in raised.value.problem
