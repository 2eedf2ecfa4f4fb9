"""The Claude CLI by itself, as somebody runs it in a shell: ``claude -p PROMPT``.

Its environment is what the pool gives its runs (no updater, no telemetry), and it asks the same
stand-in, so that nothing but the pool lies between the two.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pool.claude.binary.locate import find_executable
from pool.claude.launch.environment import environment
from pool.subscriptions.spec import Credential, SubscriptionSpec

PROMPT = "Say hello"
MODEL = "sonnet"
BARE = "bare claude -p"


@contextmanager
def standin() -> Iterator[str]:
    """The stand-in for Anthropic's API in a process of its own; its URL."""
    import sys

    command = [sys.executable, "-m", "api.demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class BareCli:
    """Runs of the CLI on a folder of their own."""

    def __init__(self, folder: Path, api_url: str) -> None:
        self._place = folder / "bare" / "work"
        self._place.mkdir(parents=True)
        self._executable = str(find_executable(None, search_path="/nonexistent"))
        self._environment = environment(
            SubscriptionSpec(id="bare", credential=Credential(oauth_token_env="TOKEN")),
            parent={"PATH": os.environ["PATH"], "TOKEN": "test-token-9"},
            config_dir=folder / "bare" / "claude",
            home=folder / "bare",
            extra={"ANTHROPIC_BASE_URL": api_url},
            is_root=os.geteuid() == 0,
        )

    def seconds(self) -> float:
        """How long one run takes, from its start to its exit."""
        began = time.perf_counter()
        self._ended(["--output-format=json"])
        return time.perf_counter() - began

    def first_text_seconds(self) -> float:
        """How long it takes to the line that has the first piece of the answer."""
        options = ["--output-format=stream-json", "--verbose", "--include-partial-messages"]
        began = time.perf_counter()
        with subprocess.Popen(
            self._command(options), stdout=subprocess.PIPE, **self._around()
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if b'"text_delta"' in line:
                    took = time.perf_counter() - began
                    process.stdout.read()
                    return took
        raise RuntimeError("the CLI gave no text")

    def rate(self, callers: int) -> float:
        """Runs a second, of so many at once."""
        began = time.perf_counter()
        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(lambda _: self.seconds(), range(callers)))
        return callers / (time.perf_counter() - began)

    def _command(self, options: Sequence[str]) -> list[str]:
        return [self._executable, "-p", PROMPT, f"--model={MODEL}", *options]

    def _around(self) -> dict[str, object]:
        return {
            "cwd": self._place,
            "env": self._environment,
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }

    def _ended(self, options: Sequence[str]) -> None:
        command = self._command(options)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **self._around())
