"""Runs programs beside each other, each in a process of its own that begins with the official SDKs:
every framework stands on them, and to import them takes 1.5 s of a core.

The first argument is handed on to each; the others are the names of the programs. It ends with an
error if one of them does.
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

gc.disable()  # what is imported stays; to look for garbage in it takes a tenth of the time
import anthropic  # noqa: E402, F401
import openai  # noqa: E402, F401

AT_ONCE = 2
_DIES_WITH_ITS_PARENT = 1
"""``PR_SET_PDEATHSIG`` of Linux."""


def child(program: Path, asked: str) -> NoReturn:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_DIES_WITH_ITS_PARENT, signal.SIGKILL)
        sys.argv = [str(program), asked]
        runpy.run_path(str(program), run_name="__main__")
        code = 0
    except BaseException:  # noqa: BLE001 - told on stderr, whatever it was
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main(asked: str, names: list[str]) -> int:
    failed, running = 0, 0
    for name in names:
        if running == AT_ONCE:
            failed, running = failed + (os.wait()[1] != 0), running - 1
        if os.fork() == 0:
            child(Path(__file__).with_name(name), asked)
        running += 1
    for _ in range(running):
        failed += os.wait()[1] != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
