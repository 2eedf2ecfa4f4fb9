"""A program on a terminal of its own: keys are sent to it, and its screen is waited for."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

WAIT_SECONDS = 60
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\r\x07]")
_COMMAND = (sys.executable, "-c", "from api.main import app; app()")


class Terminal:
    """What was printed there, without control sequences, and since it was last looked for."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self._process = process
        self._raw = b""
        self._news = asyncio.Event()

    @property
    def text(self) -> str:
        return _CONTROL.sub("", self._raw.decode(errors="replace"))

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    async def shows(self, text: str) -> None:
        """Wait until it does; what was printed before is forgotten."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while text not in self.text:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} never came: {self.text[-2000:]}") from None
        self._raw = b""

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._process.wait()

    def read(self) -> None:
        try:
            self._raw += os.read(self._descriptor, 65536)
        except OSError:  # nobody has the other end any more
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._news.set()


@asynccontextmanager
async def on_a_terminal(
    *arguments: str,
    size: tuple[int, int] = (80, 24),
    stdout: IO[bytes] | None = None,
    **environ: str,
) -> AsyncIterator[Terminal]:
    """``claude-pool`` with these arguments; ``stdout`` goes elsewhere where one is given."""
    ours, its = pty.openpty()
    width, height = size
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *arguments,
        stdin=its,
        stdout=stdout or its,
        stderr=its,
        env={**os.environ, "TERM": "xterm-256color", **environ},
        start_new_session=True,
    )
    os.close(its)
    loop = asyncio.get_running_loop()
    terminal = Terminal(ours, process)
    loop.add_reader(ours, terminal.read)
    try:
        yield terminal
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
