from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pool.claude.binary.auth import auth_status
from pool.claude.binary.locate import ask, find_executable, read_version
from pool.claude.binary.version import CliVersion
from pool.errors import ConfigError


@pytest.fixture
def cli(tmp_path: Path) -> Callable[[str], Path]:
    def write(source: str) -> Path:
        path = tmp_path / "claude"
        path.write_text(f"#!/bin/sh\n{source}\n")
        path.chmod(0o700)
        return path

    return write


def lives(pid: str) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def test_a_configured_path_is_taken(cli: Callable[[str], Path]) -> None:
    path = cli("")

    assert find_executable(str(path), search_path=None) == path


def test_without_configuration_the_path_is_searched(cli: Callable[[str], Path]) -> None:
    path = cli("")

    assert find_executable(None, search_path=str(path.parent)) == path
    assert find_executable("claude", search_path=str(path.parent)) == path


def test_with_nothing_on_path_the_binary_of_the_sdk_is_taken() -> None:
    assert find_executable(None, search_path="/nonexistent").parent.name == "_bundled"


def test_with_none_anywhere_the_remedies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.claude.binary.locate.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match="pip install claude-agent-sdk") as raised:
        find_executable(None, search_path="/nonexistent")

    assert raised.value.field == "claude.path"


@pytest.mark.parametrize("configured", ["/nonexistent/claude", "no-such-command", "/"])
def test_what_is_configured_and_not_there_is_refused_and_not_replaced(configured: str) -> None:
    with pytest.raises(ConfigError):
        find_executable(configured, search_path="/nonexistent")


def test_what_is_configured_and_not_executable_is_refused(cli: Callable[[str], Path]) -> None:
    path = cli("")
    path.chmod(0o600)

    with pytest.raises(ConfigError, match="not executable"):
        find_executable(str(path), search_path=None)


async def test_a_version_is_asked_for(cli: Callable[[str], Path]) -> None:
    assert await read_version(cli("echo '2.1.330 (Claude Code)'")) == CliVersion(2, 1, 330)


@pytest.mark.parametrize("source", ["echo hello", "exit 1", "kill -9 $$"])
async def test_a_binary_that_tells_no_version_is_not_the_cli(
    cli: Callable[[str], Path], source: str
) -> None:
    with pytest.raises(ConfigError, match="does not answer --version"):
        await read_version(cli(source))


async def test_a_question_that_is_not_answered_in_time_ends_with_all_its_processes(
    cli: Callable[[str], Path], tmp_path: Path
) -> None:
    path = cli(f"sleep 600 & echo $! > {tmp_path}/child; wait")

    with pytest.raises(ConfigError, match="did not answer '--version' within"):
        await ask(path, "--version", environment={"PATH": "/usr/bin:/bin"}, seconds=0.5)

    until = time.monotonic() + 10
    while lives((tmp_path / "child").read_text().strip()):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_an_answer_without_end_is_bounded(cli: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="more than 100000 bytes"):
        await ask(cli("exec yes"), "x", environment={"PATH": "/usr/bin:/bin"})


async def test_an_answer_without_end_is_bounded_though_a_child_holds_its_pipe(
    cli: Callable[[str], Path], tmp_path: Path
) -> None:
    until_gate = f"while [ ! -e {tmp_path}/gate ]; do sleep 0.05; done"
    holds = f"touch {tmp_path}/held; {until_gate}; touch {tmp_path}/gone"
    until_held = f"while [ ! -e {tmp_path}/held ]; do sleep 0.01; done"  # in its own session
    path = cli(f"setsid sh -c '{holds}' & {until_held}; exec yes")
    environment = {"PATH": "/usr/bin:/bin"}

    with pytest.raises(ConfigError, match="more than 100000 bytes"):
        await asyncio.wait_for(ask(path, "x", environment=environment), 20)

    (tmp_path / "gate").touch()
    while not (tmp_path / "gone").exists():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # its end of the pipe is seen


async def test_a_binary_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be run: No such file"):
        await read_version(tmp_path / "claude")


async def test_the_status_of_a_login_is_read_with_whatever_a_release_prints(
    cli: Callable[[str], Path],
) -> None:
    answer = '{"loggedIn":true,"authMethod":"claude.ai","email":"a@b.example","orgName":"B"}'

    status = await auth_status(cli(f"echo '{answer}'"), {})

    assert (status.logged_in, status.method) == (True, "claude.ai")
    assert (status.email, status.organization, status.plan) == ("a@b.example", "B", None)


@pytest.mark.parametrize(
    ("told", "ends_at"),
    [
        ('"2026-12-01T13:19:12.000Z"', datetime(2026, 12, 1, 13, 19, 12, tzinfo=UTC)),
        *((odd, None) for odd in ("null", "1", '""', '"soon"', '"2026-12-01"')),
    ],
)
async def test_the_end_of_a_login_is_read_where_the_cli_says_it(
    cli: Callable[[str], Path], told: str, ends_at: datetime | None
) -> None:
    status = await auth_status(cli(f"""echo '{{"loggedIn":true,"loginExpiresAt":{told}}}'"""), {})

    assert status.login_expires_at == ends_at


async def test_no_login_is_an_answer_and_not_an_error(cli: Callable[[str], Path]) -> None:
    status = await auth_status(cli("""echo '{"loggedIn":false}'; exit 1"""), {})

    assert status.logged_in is False


@pytest.mark.parametrize("answer", ["", "[]", "{}", "Not logged in"])
async def test_a_status_that_cannot_be_read_is_an_error(
    cli: Callable[[str], Path], answer: str
) -> None:
    with pytest.raises(ConfigError, match="auth status"):
        await auth_status(cli(f"echo '{answer}'"), {})
