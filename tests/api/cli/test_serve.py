from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.serve import configured
from api.main import app
from pool.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "pool.toml"
    file.write_text('[server]\nport = 8700\n[[subscriptions]]\nid = "a"\nconfig_dir = "."\n')
    return file


def test_without_options_the_file_decides(path: Path) -> None:
    config = configured(path, host=None, port=None)

    assert (config.server.host, config.server.port) == ("127.0.0.1", 8700)


def test_an_option_wins_over_the_file_and_changes_nothing_else(path: Path) -> None:
    config = configured(path, host=None, port=0)

    assert config.server.port == 0
    assert config.subscriptions == configured(path, host=None, port=None).subscriptions


def test_an_open_host_without_keys_is_refused_also_as_an_option(path: Path) -> None:
    with pytest.raises(ConfigError, match="needs at least one"):
        configured(path, host="0.0.0.0", port=None)


def test_what_cannot_be_served_is_told_and_ends_with_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "--config", str(tmp_path / "pool.toml")])

    assert result.exit_code == 1
    assert "The configuration cannot be used" in result.stderr
    assert "there is no such file" in result.stderr


def test_a_missing_credential_is_told_before_anything_is_started(path: Path) -> None:
    with path.open("a") as file:
        file.write('credential = { oauth_token_env = "NOT_SET_ANYWHERE" }\n')

    result = CliRunner().invoke(app, ["serve", "--config", str(path)])

    assert result.exit_code == 1
    assert "NOT_SET_ANYWHERE is not set" in result.stderr
