"""A pool without keys is no shell: what changes it is never done anonymously."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.main import app as commands
from api.server.serve import operator_line
from api.web.operator_key import FILE, ensure_operator_key, operator_key
from pool.config import parse
from pool.errors import ConfigError
from tests.support.callers.many_callers import ANONYMOUS, Service, many_callers
from tests.support.callers.route_table import ADMIN, TABLE

KEY = f"cpo_{'test-key-of-the-operator':-<43}"
OPERATOR = "operator"
SHELL = {"server": {"command": "/bin/sh", "args": ["-c", "touch canary"]}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with many_callers(tmp_path_factory.mktemp("pool"), (), KEY) as service:
        service.enter(OPERATOR, KEY)
        yield service


CHANGES = [key for key, each in TABLE.items() if each.granted == ADMIN.granted and not each.hidden]
OTHERS = [key for key in TABLE if key not in CHANGES]


@pytest.mark.parametrize(("method", "route"), CHANGES, ids=map(" ".join, CHANGES))
def test_what_changes_a_pool_takes_its_operator(service: Service, method: str, route: str) -> None:
    each = TABLE[method, route]
    assert each.path is not None
    path = each.path({})

    anonymous = service[ANONYMOUS].request(method, path, json=each.body)
    operator = service[OPERATOR].request(method, path, json=each.body)

    assert anonymous.status_code == 403
    assert anonymous.json()["type"] == "urn:claude-pool:operator-needed"
    assert "operator.key" in anonymous.json()["detail"]
    assert operator.status_code not in {401, 403}


@pytest.mark.parametrize(("method", "route"), OTHERS, ids=map(" ".join, OTHERS))
def test_prompts_and_looking_are_open_on_this_machine(
    service: Service, method: str, route: str
) -> None:
    each = TABLE[method, route]
    assert each.path is not None
    path = each.path(service.run(OPERATOR))

    with service[ANONYMOUS].stream(method, path, json=each.body) as answer:
        assert answer.status_code not in {401, 403, 404} or "reconciliations" in path


def test_nobody_makes_a_shell_of_a_pool_without_keys(service: Service) -> None:
    anonymous = service[ANONYMOUS]
    key = {"name": "me", "scopes": ["admin", "execute"], "mcp_servers": True, "tools": ["Bash"]}
    subscription = {"id": "mine", "credential": {"oauth_token_env": "SUB1_TOKEN"}}
    runs = len(service.runner.runs)

    assert anonymous.post("/v1/keys", json=key).status_code == 403
    assert anonymous.post("/v1/subscriptions", json=subscription).status_code == 403
    for wanted in (
        {"tools": ["Bash"]},
        {"agent": {"mcp_servers": SHELL}},
        {"tools": ["Agent"], "agent": {"sub_agents": {"a": {"description": "d", "prompt": "p"}}}},
    ):
        answer = anonymous.post("/v1/executions", json={"prompt": "x", **wanted})
        assert answer.status_code == 422, wanted

    assert len(service.runner.runs) == runs
    assert service.call(service.pool.client.keys) == ()


def test_the_operator_stays_when_there_are_keys(tmp_path: Path) -> None:
    with many_callers(tmp_path, (), KEY) as service:
        operator = service.enter(OPERATOR, KEY)
        made = operator.post("/v1/keys", json={"name": "ops", "scopes": ["admin"]})
        admin = service.enter("ops", made.json()["secret"])
        last = f"/v1/keys/{made.json()['key']['id']}"
        revoked = admin.delete(last)

        assert service[ANONYMOUS].get("/v1/pool").status_code in {200, 401}
        assert operator.get("/v1/keys").status_code == 200
        assert (revoked.status_code, revoked.json()["title"]) == (
            409,
            "It does not fit the present state",
        )
        assert "make another one" in revoked.json()["detail"]
        assert admin.get("/v1/keys").status_code == 200


# -- the file ------------------------------------------------------------------------------------


def test_the_key_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    key, is_new = ensure_operator_key(data_dir)

    assert (is_new, ensure_operator_key(data_dir)) == (True, (key, False))
    assert operator_key(data_dir) == key
    assert (data_dir / FILE).stat().st_mode & 0o777 == 0o600
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in data_dir.iterdir()] == [FILE]


@pytest.mark.parametrize("spoil", ["readable", "linked", "emptied"])
def test_a_key_that_others_could_know_is_none(tmp_path: Path, spoil: str) -> None:
    old, _ = ensure_operator_key(tmp_path)
    file = tmp_path / FILE
    match spoil:
        case "readable":
            file.chmod(0o640)
        case "linked":
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
        case "emptied":
            file.write_text("")

    assert operator_key(tmp_path) is None
    key, is_new = ensure_operator_key(tmp_path)
    assert (is_new, operator_key(tmp_path)) == (True, key)
    assert key != old


def test_of_services_that_start_at_once_all_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: ensure_operator_key(tmp_path), range(8)))

    assert len({key for key, _ in made}) == 1
    assert operator_key(tmp_path) == made[0][0]


def test_where_it_cannot_be_kept_the_pool_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"pool\.data_dir: the operator's key cannot be kept"):
        ensure_operator_key(tmp_path / "file" / "data")


def test_it_is_shown_on_a_terminal_and_in_no_log() -> None:
    config = parse({"pool": {"data_dir": "data"}})

    assert KEY in operator_line(config, KEY, shown=True)
    elsewhere = operator_line(config, KEY, shown=False)
    assert KEY not in elsewhere
    assert "data/operator.key" in elsewhere


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a pool.toml, where the command line is used."""
    (tmp_path / "pool.toml").write_text('[pool]\ndata_dir = "kept"\n')
    (tmp_path / "kept").mkdir(mode=0o700)
    file = tmp_path / "kept" / FILE
    file.touch(0o600)
    file.write_text(KEY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLAUDE_POOL_KEY", raising=False)
    monkeypatch.delenv("CLAUDE_POOL_CONFIG", raising=False)
    return tmp_path


def cli(service: Service, *arguments: str) -> Any:
    return CliRunner(env={"CLAUDE_POOL_URL": service.url}).invoke(commands, arguments)


def test_the_command_line_finds_the_key_by_itself(
    service: Service, at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = cli(service, "keys", "list")
    monkeypatch.chdir("/")
    monkeypatch.setenv("CLAUDE_POOL_CONFIG", str(at_home / "pool.toml"))
    named = cli(service, "keys", "list")

    assert (here.exit_code, named.exit_code) == (0, 0), here.stderr


def test_without_the_key_it_says_what_is_needed(service: Service, at_home: Path) -> None:
    (at_home / "kept" / FILE).unlink()

    refused = cli(service, "keys", "list")

    assert refused.exit_code == 1
    assert "operator.key" in refused.stderr
    assert cli(service, "usage").exit_code == 0
