from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.runtime import ray_address
from actors.runtime.ray_address import LOCK, NOTE, claimed, find, is_claimed, noted, running
from pool.config import Config, RaySettings, load
from pool.errors import ConfigError

HERE, THERE = "127.0.0.1:6379", "127.0.0.1:6380"


def configured(folder: Path, ray: str = 'namespace = "mine"\n') -> tuple[Config, dict[str, str]]:
    """A configuration, and the environment of a program that names it."""
    folder.mkdir(exist_ok=True)
    path = folder / "pool.toml"
    path.write_text(f'[pool]\ndata_dir = "data"\n[ray]\n{ray}', encoding="utf-8")
    return load(path), {"CLAUDE_POOL_CONFIG": str(path)}


@contextmanager
def served(config: Config, address: str = HERE) -> Iterator[None]:
    """As a service with a Ray of its own does."""
    with claimed(config) as is_own, noted(config, address):
        assert is_own
        yield


def test_each_of_two_pools_on_a_machine_is_found_over_its_own_configuration(
    tmp_path: Path,
) -> None:
    one, of_one = configured(tmp_path / "one")
    two, of_two = configured(tmp_path / "two", 'namespace = "other"\n')

    with served(one), served(two, THERE):
        assert find(of_one) == RaySettings(address=HERE, namespace="mine")
        assert find(of_two) == RaySettings(address=THERE, namespace="other")


def test_the_note_is_for_its_user_alone(tmp_path: Path) -> None:
    config, _ = configured(tmp_path)
    config.pool.data_dir.mkdir()
    (config.pool.data_dir / NOTE).write_text("an old one")
    (config.pool.data_dir / NOTE).chmod(0o644)

    with served(config):
        modes = {
            name: stat.S_IMODE((config.pool.data_dir / name).stat().st_mode)
            for name in (NOTE, LOCK)
        }

    assert modes == {NOTE: 0o600, LOCK: 0o600}


def test_without_a_variable_it_is_the_pool_of_the_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = configured(tmp_path)
    monkeypatch.chdir(tmp_path)

    with served(config):
        assert find({}).address == HERE


def test_an_address_of_ray_goes_first_and_the_configuration_that_is_named_says_which_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, environ = configured(tmp_path)

    assert find({**environ, "RAY_ADDRESS": HERE}) == RaySettings(address=HERE, namespace="mine")
    assert find({"RAY_ADDRESS": HERE}) == RaySettings(address=HERE)


def test_no_other_ray_is_taken_where_no_pool_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match=r"CLAUDE_POOL_CONFIG: no pool is named"):
        find({})


def test_a_pool_that_was_never_served_or_has_ended_is_told_as_not_there(tmp_path: Path) -> None:
    config, environ = configured(tmp_path)

    with pytest.raises(ConfigError, match="begin with claude-pool serve --config"):
        find(environ)
    with served(config):
        pass
    with pytest.raises(ConfigError, match="begin with claude-pool serve --config"):
        find(environ)


def test_a_killed_service_is_told_as_not_there_at_once_and_the_next_one_has_its_place(
    tmp_path: Path,
) -> None:
    config, environ = configured(tmp_path)
    serves = (
        "import sys, time; from pathlib import Path; from pool.config import load\n"
        "from actors.runtime.ray_address import claimed, noted\n"
        "config = load(Path(sys.argv[1]))\n"
        f"with claimed(config) as own, noted(config, '{HERE}'): print(own, flush=True);"
        " time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", serves, environ["CLAUDE_POOL_CONFIG"]],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"True\n"
        assert find(environ).address == HERE
        with claimed(config) as is_own:
            assert not is_own
        assert running(config).address == HERE
        service.kill()

    assert (config.pool.data_dir / NOTE).exists()
    with pytest.raises(ConfigError, match="no pool of"):
        find(environ)
    with claimed(config) as is_own:
        assert is_own
        assert not (config.pool.data_dir / NOTE).exists()


def test_a_service_that_ends_while_another_one_waits_for_its_ray_is_told(tmp_path: Path) -> None:
    config, _ = configured(tmp_path)

    with pytest.raises(ConfigError, match="start this one again"):
        running(config)


def test_a_look_at_the_lock_takes_it_from_no_service_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = configured(tmp_path)
    with claimed(config):
        pass
    looking = ray_address._opened_lock(config)
    assert ray_address._locked(looking, ray_address.fcntl.LOCK_SH)
    monkeypatch.setattr(ray_address.time, "sleep", lambda _: ray_address.os.close(looking))

    with claimed(config) as is_own:
        assert is_own
        monkeypatch.setattr(ray_address.time, "sleep", time.sleep)
        assert is_claimed(config)
    assert not is_claimed(config)


def test_a_cluster_that_was_found_by_itself_is_noted_beyond_the_end_of_the_service(
    tmp_path: Path,
) -> None:
    config, environ = configured(tmp_path, 'address = "auto"\n')
    with noted(config, HERE):
        pass

    assert find(environ).address == HERE
    assert (config.pool.data_dir / NOTE).exists()


def test_the_note_of_a_cluster_stays_where_a_service_with_a_ray_of_its_own_begins_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cluster, _ = configured(tmp_path, 'address = "auto"\n')
    with noted(in_cluster, THERE):
        pass
    alone, _ = configured(tmp_path)
    monkeypatch.setattr(ray_address, "START_SECONDS", 0.2)

    with claimed(alone) as is_own:
        assert is_own
        with pytest.raises(ConfigError, match="start this one again"):
            running(alone)  # no other service takes it for that of the one that starts

    _, of_cluster = configured(tmp_path, 'address = "auto"\n')
    assert find(of_cluster).address == THERE


def test_a_service_that_ends_leaves_the_note_that_a_cluster_has_written_over_its_own(
    tmp_path: Path,
) -> None:
    in_cluster, _ = configured(tmp_path, 'address = "auto"\n')
    alone, _ = configured(tmp_path)

    with served(alone), noted(in_cluster, THERE):
        pass

    _, of_cluster = configured(tmp_path, 'address = "auto"\n')
    assert find(of_cluster).address == THERE


def test_an_address_in_the_configuration_needs_no_note(tmp_path: Path) -> None:
    _, environ = configured(tmp_path, f'address = "{HERE}"\n')

    assert find(environ).address == HERE


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    config, environ = configured(tmp_path)

    with served(config):
        (config.pool.data_dir / NOTE).write_text("half a no")
        with pytest.raises(ConfigError, match="no pool of"):
            find(environ)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    config, _ = configured(tmp_path)
    config.pool.data_dir.write_text("a file")

    with pytest.raises(ConfigError, match=r"pool\.data_dir: .*ray\.lock cannot be opened"):
        claimed(config).__enter__()
