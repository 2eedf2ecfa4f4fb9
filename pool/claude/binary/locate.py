"""Finding the CLI's binary, and asking it short questions.

It is a user's own install on PATH, or the one that the PyPI package ``claude-agent-sdk`` carries;
the package is looked up, never imported.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pool.claude.binary.version import CliVersion
from pool.errors import ConfigError

FIELD = "claude.path"
_NAME = "claude"
_ANSWER_SECONDS = 30.0  # `--version` takes 0.02 s, a cold start from a slow disk several seconds
_ANSWER_BYTES = 100_000
_END_SECONDS = 1.0
_LOOK_SECONDS = 0.01


def find_executable(configured: str | None, *, search_path: str | None) -> Path:
    """The binary to run: the configured path or name, else ``claude`` on PATH, else the SDK's.

    ConfigError where there is none; what is configured is taken or refused, never replaced.
    """
    if configured is not None:
        return _configured(configured, search_path)
    if found := shutil.which(_NAME, path=search_path):
        return Path(found)
    if (bundled := _bundled()) is not None:
        return bundled
    raise ConfigError(
        FIELD,
        "no Claude CLI was found on PATH: install it, or run `pip install claude-agent-sdk`, "
        "which carries it, or name it here",
    )


def _configured(configured: str, search_path: str | None) -> Path:
    path = Path(configured).expanduser()
    if "/" not in configured:
        if found := shutil.which(configured, path=search_path):
            return Path(found)
        raise ConfigError(FIELD, f"no command {configured!r} on PATH: name its full path")
    if not path.is_file():
        raise ConfigError(FIELD, f"there is no file {str(path)!r}: correct it, or leave it out")
    if not os.access(path, os.X_OK):
        raise ConfigError(FIELD, f"{str(path)!r} is not executable: chmod +x it, or leave it out")
    return path.absolute()


def _bundled() -> Path | None:
    spec = find_spec("claude_agent_sdk")
    for directory in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(directory) / "_bundled" / _NAME
        if os.access(path, os.X_OK):
            return path.absolute()
    return None


async def read_version(executable: Path) -> CliVersion:
    """The version of a binary. ConfigError where it does not say one within its time."""
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "DISABLE_AUTOUPDATER": "1"}
    answer = await ask(executable, "--version", environment=environment)
    try:
        return CliVersion.parse(answer.stdout)
    except ValueError:
        raise ConfigError(
            FIELD, f"{str(executable)!r} does not answer --version as the Claude CLI does"
        ) from None


class Answer(NamedTuple):
    """What a short run of the CLI said."""

    exit_code: int
    stdout: str


async def ask(
    executable: Path,
    *arguments: str,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    seconds: float = _ANSWER_SECONDS,
) -> Answer:
    """Run the CLI to its end, with ``stdin`` to read: less than a pipe holds.
    ConfigError if it cannot run or takes too long.

    When this returns or raises, the process is gone.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(FIELD, f"{str(executable)!r} cannot be run: {error.strerror}") from None
    try:
        if process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        async with asyncio.timeout(seconds):
            stdout = await _read(process)
            exit_code = await process.wait()
    except TimeoutError:
        raise ConfigError(
            FIELD, f"{str(executable)!r} did not answer {arguments[0]!r} within {seconds:g} s"
        ) from None
    finally:
        await _end(process)
    return Answer(exit_code, stdout)


async def _read(process: asyncio.subprocess.Process) -> str:
    """What it prints. ConfigError for more than an answer can be."""
    kept = bytearray()
    while process.stdout is not None and (data := await process.stdout.read(65536)):
        kept += data
        if len(kept) > _ANSWER_BYTES:
            raise ConfigError(FIELD, f"it prints more than {_ANSWER_BYTES} bytes for an answer")
    return kept.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """See the process gone, and its pipe at its end: left open, that outlives the loop."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
    with suppress(TimeoutError):  # a child in a session of its own may hold the pipe
        async with asyncio.timeout(_END_SECONDS):
            while process.stdout is not None and await process.stdout.read(65536):
                pass
    # wait() waits for the pipe too, which may be held or full.
    while process.returncode is None:  # noqa: ASYNC110 - nothing tells of it but the figure itself
        await asyncio.sleep(_LOOK_SECONDS)
