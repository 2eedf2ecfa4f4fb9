from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.runtime.ray_privacy import ensure_token, inherited_alone, kept_back, take
from pool.errors import ConfigError

TOKENS = {"RAY_AUTH_MODE": "token"}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_token_is_made_for_its_user_alone(tmp_path: Path) -> None:
    ensure_token(TOKENS, tmp_path)

    token = tmp_path / ".ray" / "auth_token"
    assert len(token.read_text()) == 64
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    assert list(token.parent.iterdir()) == [token]


def test_a_token_that_is_there_stays_and_is_closed_to_others(tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("of-a-cluster")
    token.chmod(0o644)

    ensure_token(TOKENS, tmp_path)

    assert (token.read_text(), mode(token)) == ("of-a-cluster", 0o600)


def test_one_that_an_interrupted_start_left_empty_is_made(tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.touch()

    ensure_token(TOKENS, tmp_path)

    assert (len(token.read_text()), mode(token)) == (64, 0o600)


@pytest.mark.parametrize(
    "environ", [{"RAY_AUTH_MODE": "disabled"}, {**TOKENS, "RAY_AUTH_TOKEN": "x"}]
)
def test_where_another_way_is_named_none_is_made(environ: dict[str, str], tmp_path: Path) -> None:
    ensure_token(environ, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_home_that_takes_no_token_is_named(tmp_path: Path) -> None:
    (tmp_path / ".ray").write_text("")

    with pytest.raises(ConfigError, match=r"RAY_AUTH_TOKEN_PATH: the token of Ray cannot be kept"):
        ensure_token(TOKENS, tmp_path)


def test_what_programs_need_to_run_is_inherited_and_nothing_else() -> None:
    environ = {"PATH": "/bin", "LC_ALL": "C", "RAY_AUTH_MODE": "token", "NO_PROXY": "localhost"}
    secrets = {"SUB1_TOKEN": "a", "POOL_CI_KEY": "b", "OTEL_EXPORTER_OTLP_HEADERS": "c"}

    assert kept_back({**environ, **secrets}) == secrets


def test_variables_are_away_while_something_is_started_and_back_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUB1_TOKEN", "test-token")

    with inherited_alone():
        assert "SUB1_TOKEN" not in os.environ
        os.environ["SUB1_TOKEN_SET_MEANWHILE"] = "1"

    assert os.environ["SUB1_TOKEN"] == "test-token"
    monkeypatch.delenv("SUB1_TOKEN_SET_MEANWHILE")


def test_what_is_taken_changes_nothing_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH_OF_TEST", "own")
    monkeypatch.setenv("OTHER_OF_TEST", "")  # to be taken away again
    monkeypatch.delenv("OTHER_OF_TEST")

    take({"PATH_OF_TEST": "theirs", "OTHER_OF_TEST": "taken"})

    assert (os.environ["PATH_OF_TEST"], os.environ["OTHER_OF_TEST"]) == ("own", "taken")
