"""Starts one process of the CLI, and supervises it to its end.

main FOLDER PROCESS_DIR WORK_DIR OUTPUT_BYTES GRACE_S COMMAND...
"""

from __future__ import annotations

import os
import sys
import time

from .cli import Cli
from .events import hold_back, signal
from .files import write_whole

LOCK_FD = 3


def main() -> None:
    process_dir, work_dir, bound, grace, *command = sys.argv[1:]
    if os.fork():
        os._exit(0)
    hold_back()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir(work_dir)  # it may be named by a descriptor
    close_the_rest()
    os.umask(0o077)
    if any(name.startswith("stop.") for name in os.listdir(process_dir)):
        write_whole(f"{process_dir}/ended", {"started": 0, "ended_by": "request"})
        return
    cli = Cli(process_dir, command, int(bound))
    from .supervision import Supervision  # while the CLI is starting

    reason = Supervision(process_dir, cli, int(bound), float(grace)).until_its_end()
    status, usage = cli.clean_up()
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXFSZ:
        reason = reason or "output_limit"
    write_whole(
        f"{process_dir}/ended",
        {
            "started": int(cli.exec_errno is None),
            "exec_errno": cli.exec_errno,
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "ended_by": reason,
            "wall_seconds": time.monotonic() - cli.begun,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss * 1024,
        },
    )


def close_the_rest() -> None:
    """Close what the starting process let slip, such as sockets of its libraries."""
    for name in os.listdir("/dev/fd"):
        if int(name) > LOCK_FD:
            try:
                os.close(int(name))
            except OSError:  # the one that was opened for the listing
                pass
