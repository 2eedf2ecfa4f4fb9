from __future__ import annotations

import json
from pathlib import Path

from pool.nodes.identity import node_id
from pool.nodes.inventory import note_activation, signed_in, take_inventory
from pool.subscriptions.spec import Credential
from tests.support.values.examples import spec


def sign_in(config_dir: Path, account: str | None, token: str = "t") -> Path:
    config_dir.mkdir(parents=True)
    login = {"claudeAiOauth": {"accessToken": token, "refreshToken": token}}
    (config_dir / ".credentials.json").write_text(json.dumps(login))
    if account is not None:
        known = {"oauthAccount": {"accountUuid": account}}
        (config_dir / ".claude.json").write_text(json.dumps(known))
    return config_dir


def test_what_is_there_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    there = tmp_path / "login"
    there.mkdir()
    specs = [
        spec("sub1", config_dir=there),
        spec("sub2", config_dir=tmp_path / "missing"),
        spec("sub3", credential=Credential(oauth_token_env="SET")),
        spec("sub4", credential=Credential(oauth_token_env="NOT_SET")),
        spec("sub5", credential=Credential(oauth_token_env="BLANK")),
    ]

    found = take_inventory(tmp_path / "data", specs, {"SET": "secret", "BLANK": " ", "OTHER": "x"})

    assert found.node_id == node_id(tmp_path / "data")
    assert found.directories == {str(there): None}
    assert found.variables == {"SET"}
    assert found.activations == {}
    assert "secret" not in found.model_dump_json()
    assert not (tmp_path / "missing").exists()


def test_a_node_tells_when_a_subscription_was_there(tmp_path: Path) -> None:
    note_activation(tmp_path / "subscriptions" / "sub1", 7)

    found = take_inventory(tmp_path, [spec("sub1"), spec("sub2")], {})

    assert found.activations == {"sub1": 7}


def test_copies_of_one_login_are_one_account(tmp_path: Path) -> None:
    one = sign_in(tmp_path / "one", "account-1", token="renewed")
    copy = sign_in(tmp_path / "copy", "account-1")
    other = sign_in(tmp_path / "other", "account-2")

    assert signed_in(one) == signed_in(copy) != signed_in(other)


def test_logins_of_unknown_accounts_are_told_apart_by_themselves(tmp_path: Path) -> None:
    one = sign_in(tmp_path / "one", None)
    same = sign_in(tmp_path / "same", None)
    other = sign_in(tmp_path / "other", None, token="another")

    assert signed_in(one) == signed_in(same) != signed_in(other)


def test_a_directory_without_a_login_has_nobody(tmp_path: Path) -> None:
    config_dir = tmp_path / "empty"
    config_dir.mkdir()
    (config_dir / ".credentials.json").write_text("no json")

    assert signed_in(config_dir) is None
