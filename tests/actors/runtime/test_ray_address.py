from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.runtime.ray_address import NOTE, find, noted
from pool.config import Config, RaySettings, load
from pool.errors import ConfigError


@pytest.fixture
def ray_there() -> Iterator[str]:
    """The address of something that listens, as a Ray does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def configured(folder: Path, ray: str = 'namespace = "mine"\n') -> tuple[Config, dict[str, str]]:
    """A configuration, and the environment of a program that names it."""
    folder.mkdir(exist_ok=True)
    path = folder / "pool.toml"
    path.write_text(f'[pool]\ndata_dir = "data"\n[ray]\n{ray}', encoding="utf-8")
    return load(path), {"CLAUDE_POOL_CONFIG": str(path)}


def test_each_of_two_pools_on_a_machine_is_found_over_its_own_configuration(
    tmp_path: Path, ray_there: str
) -> None:
    one, of_one = configured(tmp_path / "one")
    two, of_two = configured(tmp_path / "two", 'namespace = "other"\n')
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = f"127.0.0.1:{listener.getsockname()[1]}"
        with noted(one, ray_there), noted(two, other):
            assert find(of_one) == RaySettings(address=ray_there, namespace="mine")
            assert find(of_two) == RaySettings(address=other, namespace="other")


def test_without_a_variable_it_is_the_pool_of_the_file_here(
    tmp_path: Path, ray_there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = configured(tmp_path)
    monkeypatch.chdir(tmp_path)

    with noted(config, ray_there):
        assert find({}).address == ray_there


def test_an_address_of_ray_goes_first(tmp_path: Path) -> None:
    _, environ = configured(tmp_path)

    assert find({**environ, "RAY_ADDRESS": "10.0.0.1:6379"}) == RaySettings(address="10.0.0.1:6379")


def test_no_other_ray_is_taken_where_no_pool_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match=r"CLAUDE_POOL_CONFIG: no pool is named"):
        find({})


def test_a_pool_that_was_never_served_or_has_ended_is_told_as_not_there(
    tmp_path: Path, ray_there: str
) -> None:
    config, environ = configured(tmp_path)

    with pytest.raises(ConfigError, match="begin with claude-pool serve --config"):
        find(environ)
    with noted(config, ray_there):
        pass
    with pytest.raises(ConfigError, match="begin with claude-pool serve --config"):
        find(environ)


def test_a_killed_service_is_told_as_not_there_at_once(tmp_path: Path) -> None:
    config, environ = configured(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"127.0.0.1:{listener.getsockname()[1]}"

    began = time.monotonic()
    with noted(config, gone), pytest.raises(ConfigError, match="no pool of"):
        find(environ)

    assert time.monotonic() - began < 2


def test_a_cluster_that_was_found_by_itself_is_noted_beyond_the_end_of_the_service(
    tmp_path: Path, ray_there: str
) -> None:
    config, environ = configured(tmp_path, 'address = "auto"\n')
    with noted(config, ray_there):
        pass

    assert find(environ).address == ray_there
    assert (config.pool.data_dir / NOTE).exists()


def test_an_address_in_the_configuration_needs_no_note(tmp_path: Path, ray_there: str) -> None:
    _, environ = configured(tmp_path, f'address = "{ray_there}"\n')

    assert find(environ).address == ray_there


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    config, environ = configured(tmp_path)
    config.pool.data_dir.mkdir()
    (config.pool.data_dir / NOTE).write_text("half a no")

    with pytest.raises(ConfigError, match="no pool of"):
        find(environ)
