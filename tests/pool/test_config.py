import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from pool.config import Config, check, load, parse, webhooks
from pool.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "pool.toml"
    path.write_text(text, encoding="utf-8")
    return path


def subscription(**of: object) -> dict[str, object]:
    return {"id": "a", "credential": {"oauth_token_env": "TOKEN"}} | of


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (
            {"subscriptions": [subscription(), subscription()]},
            "pool.toml",
            "subscription id 'a' appears more than once",
        ),
        (
            {"subscriptions": [subscription(weekly_budget_usd=-5)]},
            "subscriptions[0].weekly_budget_usd",
            "Input should be greater than 0",
        ),
        (
            {"subscriptions": [subscription(credential={})]},
            "subscriptions[0].credential",
            "name exactly one of oauth_token_env and api_key_env",
        ),
        (
            {"server": {"prot": 1}},
            "server.prot",
            "is not a known setting: remove it or mend its name",
        ),
        (
            {"pool": {"store": "mysql://pool:hush@db/pool"}},
            "pool.store",
            'should be "sqlite" or "postgresql://user:password@host:5432/database"',
        ),
        (
            {"server": {"host": "0.0.0.0"}},
            "pool.toml",
            (
                "server.host '0.0.0.0' is reachable from other machines, which needs at least one "
                "[[api_keys]]: add one, or listen on 127.0.0.1"
            ),
        ),
    ],
)
def test_a_bad_setting_is_named(document: dict[str, object], field: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(document)

    assert (field, problem) == caught.value.args


def test_the_url_of_a_database_is_kept_and_never_shown() -> None:
    config = parse({"pool": {"store": "postgresql://pool:hush@db/pool"}})

    again = parse(config.model_dump())

    assert "hush" not in repr(config) + str(config) + config.model_dump_json()
    assert again.pool.store == config.pool.store == SecretStr("postgresql://pool:hush@db/pool")


def test_configurations_of_two_databases_differ_also_as_json() -> None:
    one, other = (
        parse({"pool": {"store": f"postgresql://pool:{password}@db/pool"}})
        for password in ("hush", "hushed")
    )

    assert one.model_dump_json() != other.model_dump_json()


def test_an_open_door_is_fine_with_keys() -> None:
    keys = [{"name": "ci", "key_env": "POOL_CI_KEY"}]

    assert parse({"server": {"host": "0.0.0.0"}, "api_keys": keys}).server.host == "0.0.0.0"


def test_paths_in_the_file_are_relative_to_its_own_folder(tmp_path: Path) -> None:
    text = '[pool]\ndata_dir = "d"\n[[subscriptions]]\nid = "a"\nconfig_dir = "c"\n'

    config = load(write(tmp_path, text))

    assert (tmp_path / "d", tmp_path / "c") == (
        config.pool.data_dir,
        config.subscriptions[0].config_dir,
    )


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file: copy"):
        load(tmp_path / "absent.toml")


def test_broken_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: .*line 2"):
        load(write(tmp_path, "[pool]\ndata_dir = \n"))


def test_a_missing_directory_is_named_with_the_way_to_make_it(tmp_path: Path) -> None:
    missing = tmp_path / "gone"

    with pytest.raises(ConfigError) as caught:
        check(parse({"subscriptions": [{"id": "a", "config_dir": str(missing)}]}), {})

    assert caught.value.field == "subscriptions[0].config_dir"
    assert f"CLAUDE_CONFIG_DIR={missing} claude /login" in caught.value.problem


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}, {"TOKEN": "  "}])
def test_an_unset_credential_variable_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(parse({"subscriptions": [subscription()]}), environ)

    assert caught.value.args == (
        "subscriptions[0].credential",
        "the environment variable TOKEN is not set: export it and start again",
    )


def test_a_subscription_needs_some_way_to_sign_in() -> None:
    with pytest.raises(ConfigError, match="name a credential, or a config_dir with a login"):
        check(parse({"subscriptions": [{"id": "a"}]}), {})


WEBHOOK = {"name": "ops", "url": "https://hooks.example/x", "secret_env": "OPS"}
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_webhook_has_its_key_from_the_environment() -> None:
    config = parse({"webhooks": [WEBHOOK]})

    check(config, {"OPS": WEBHOOK_SECRET})
    (webhook,) = webhooks(config, {"OPS": WEBHOOK_SECRET})

    assert len(webhook.key) == 24
    assert webhook.spec.name == "ops"


@pytest.mark.parametrize(
    ("changes", "secret", "field", "problem"),
    [
        ({}, "", "webhooks[0].secret_env", "OPS is not set"),
        ({}, "plain-text-secret", "webhooks[0].secret_env", "must begin with whsec_"),
        (
            {"url": "http://169.254.169.254/latest"},
            WEBHOOK_SECRET,
            "webhooks[0].url",
            "allow_private = true",
        ),
    ],
)
def test_a_webhook_that_cannot_be_used_stops_the_start(
    changes: dict[str, str], secret: str, field: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as refused:
        check(parse({"webhooks": [{**WEBHOOK, **changes}]}), {"OPS": secret})

    assert refused.value.field == field
    assert "plain-text-secret" not in str(refused.value)


def test_two_webhooks_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="webhook name 'ops' appears more than once"):
        parse({"webhooks": [WEBHOOK, WEBHOOK]})


def test_a_key_of_the_file_carries_the_limits_that_any_key_may_have() -> None:
    spec = {"name": "ci", "key_env": "CI_KEY", "daily_budget_usd": 20, "models": ["claude-haiku-*"]}

    (key,) = parse({"api_keys": [spec]}).api_keys

    assert (key.daily_budget_usd, key.models, key.tools) == (20, ("claude-haiku-*",), ())


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        ({"daily_budget_usd": 0}, "daily_budget_usd"),
        ({"working_directories": ["work"]}, r"working_directories\[0\]"),
        ({"dayly_budget_usd": 1}, "dayly_budget_usd"),
    ],
)
def test_a_wrong_limit_of_a_key_is_refused_by_its_field(
    limit: dict[str, object], field: str
) -> None:
    with pytest.raises(ConfigError, match=rf"api_keys\[0\]\.{field}: "):
        parse({"api_keys": [{"name": "ci", "key_env": "CI_KEY"} | limit]})


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("24h", timedelta(days=1)),
        ("90m", timedelta(minutes=90)),
        ("1.5d", timedelta(hours=36)),
        ("0s", timedelta(0)),
        ("2w", timedelta(days=14)),
        (30, timedelta(seconds=30)),
        ("PT30M", timedelta(minutes=30)),
    ],
)
def test_how_long_prompts_are_kept_is_a_duration(written: object, kept: timedelta) -> None:
    config = parse({"pool": {"keep_prompts": written}})

    assert config.pool.keep_prompts == kept
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("written", "size"),
    [("2GB", 2_000_000_000), ("1.5 MB", 1_500_000), (300, 300), ("0", 0), ("auto", "auto")],
)
def test_the_memory_of_idle_processes_is_a_size(written: object, size: object) -> None:
    config = parse({"processes": {"max_memory": written}})

    assert config.processes.max_memory == size
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("written", ["much", "", "2 gigabytes", "-1GB", True, -5])
def test_what_is_no_size_is_refused_by_name(written: object) -> None:
    with pytest.raises(ConfigError, match=r"processes\.max_memory"):
        parse({"processes": {"max_memory": written}})


@pytest.mark.parametrize("written", ["a day", "", "24", "-1h", -1, True, "1h30m", "PX", 1e12])
def test_what_is_no_duration_is_refused_by_name(written: object) -> None:
    with pytest.raises(ConfigError) as refused:
        parse({"pool": {"keep_prompts": written}})

    assert refused.value.field == "pool.keep_prompts"


def test_prompts_are_kept_for_a_day_unless_it_is_said_otherwise() -> None:
    assert parse({}).pool.keep_prompts == timedelta(days=1)
