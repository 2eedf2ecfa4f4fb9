from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from api.cli.operations.migrate_store import migrate_store
from tests.support.stores.postgres import PASSWORD, Server

APP = typer.Typer()
APP.command()(migrate_store)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "pool.toml"
    path.write_text('[[subscriptions]]\nid = "sub1"\n', encoding="utf-8")
    return str(path)


def test_a_pool_is_moved_once_and_the_password_is_shown_nowhere(
    database: Server, config: str
) -> None:
    environment = {"CLAUDE_POOL_MIGRATE_TO": database.fresh_schema()}

    moved = CliRunner().invoke(APP, ["--config", config], env=environment)

    assert moved.exit_code == 0, moved.output
    assert "Moved and verified: 1 subscriptions, 0 executions" in moved.output
    assert PASSWORD not in moved.output


def test_a_database_that_cannot_be_used_is_told_in_a_sentence(
    database: Server, config: str
) -> None:
    wrong = database.url(password="hush")

    refused = CliRunner().invoke(APP, ["--config", config, "--to", wrong])

    assert refused.exit_code == 1
    assert "does not let this user in" in refused.output
    assert "hush" not in refused.output
