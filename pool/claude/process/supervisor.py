"""Runs the CLI once, and outlives whoever started it. A script, not a module: stdlib only.

    python -I -S supervisor.py RUN_DIR WORK_DIR DEADLINE_S OUTPUT_BYTES GRACE_S COMMAND...

It inherits the run's input as fd 0 and the run's lock as fd 3, which the CLI inherits in turn: as
long as the lock is held, something of the run lives. It leaves its parent at once, since a Ray
worker that exits in good order kills its direct children, and so needs nobody to wait for it.

What it writes into RUN_DIR, each file whole or not at all:
- ``started``: who runs, durable before the CLI is executed. Without it no CLI ever ran.
- ``stdout``, ``stderr``: written by the CLI itself.
- ``ended``: how it ended. Without it, and with the lock free, this script was killed.

The CLI's stdin stays open until its result is there, because the one way to stop a run that makes
this CLI say what it cost is an ``interrupt`` request on stdin. (Measured with 2.1.330: with
``stream-json`` input SIGINT makes it exit 0 without a result.) So the ladder, for a request to
stop (a ``stop`` file in RUN_DIR, or SIGTERM), the deadline and the bound of the output is:
interrupt and end of input, after GRACE_S SIGTERM, after GRACE_S more SIGKILL to its process group.
"""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from resource import struct_rusage

# ruff: noqa: PLC0415, PTH104, PTH120, PTH123, PTH208, SIM105, S606
# What this script imports it pays for at every run: pathlib, contextlib and the like stay out.

LOCK_FD = 3
LINGER_GRACES = 2.5  # 5 s; a CLI that has given its result exits within 0.1 s
SILENT_GRACES = 30  # 60 s without output after a result that is not the run's: seen were 8 s
MOST_STARTS = 16  # braces of noise that are tried on one line, as by the module ``lines``
INTERRUPT = b'{"type":"control_request","request_id":"stop","request":{"subtype":"interrupt"}}\n'
AWAITED = frozenset({signal.SIGCHLD, signal.SIGTERM})


def literal(value: object) -> str:
    """JSON of a number, None, or a string without quotes; importing json takes 9 ms."""
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else repr(value)


def write_durably(name: str, fields: dict[str, object]) -> None:
    """Write a JSON file that survives a loss of power once this returns."""
    text = ", ".join(f'"{key}": {literal(value)}' for key, value in fields.items())
    with open(f"{name}.tmp", "wb") as file:
        file.write(b"{%s}\n" % text.encode())
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{name}.tmp", name)
    directory = os.open(os.path.dirname(name), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def first_line(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except (OSError, ValueError):
        return None


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot: with the pid and boot it names it for ever."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def become_subreaper() -> None:
    """Where the system can: orphans of the run become children of this process, and end with it."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    except (ImportError, OSError, AttributeError):
        pass


def close_the_rest() -> None:
    """Close what the starting process let slip, such as sockets of its libraries."""
    for name in os.listdir("/dev/fd"):
        if int(name) > LOCK_FD:
            try:
                os.close(int(name))
            except OSError:  # the one that was opened for the listing
                pass


class Cli:
    """The CLI's process, from its fork to its last descendant."""

    def __init__(self, run_dir: str, command: list[str], bound: int) -> None:
        self.run_dir = run_dir
        self.bound = bound
        self.begun = time.monotonic()
        self.stdout = os.open(f"{run_dir}/stdout", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.stderr = os.open(f"{run_dir}/stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        stdin, self.stdin = os.pipe()
        os.set_blocking(self.stdin, False)
        gate, opened = os.pipe()
        failure, failed = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(opened)
            os.close(self.stdin)
            self.execute(command, stdin, gate, failed)
        for fd in (stdin, gate, failed):
            os.close(fd)
        become_subreaper()
        self.record()
        os.write(opened, b"1")
        os.close(opened)
        errno = os.read(failure, 16)  # ends when the CLI is executed, which closes it
        os.close(failure)
        self.exec_errno = int(errno) if errno else None

    def execute(self, command: list[str], stdin: int, gate: int, failed: int) -> None:
        """In the child: wait until ``started`` is durable, then become the CLI."""
        try:
            os.setpgid(0, 0)
            if os.read(gate, 1):
                os.dup2(stdin, 0)
                os.dup2(self.stdout, 1)
                os.dup2(self.stderr, 2)
                for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                self.limit_files()
                os.execve(command[0], command, os.environ)
        except OSError as error:
            os.write(failed, str(error.errno).encode())
        finally:
            os._exit(127)

    def limit_files(self) -> None:
        """Let the kernel stop a flood that writes gigabytes between two looks at it."""
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * self.bound, 4 * self.bound))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def record(self) -> None:
        write_durably(
            f"{self.run_dir}/started",
            {
                "boot_id": first_line("/proc/sys/kernel/random/boot_id"),
                "supervisor_pid": os.getpid(),
                "supervisor_start": start_time(os.getpid()),
                "cli_pid": self.pid,
                "cli_start": start_time(self.pid),
                "monotonic": self.begun,
            },
        )

    def has_ended(self) -> bool:
        """Whether the CLI is gone; its pid stays taken until ``clean_up`` has reaped it."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, how) is not None

    def kill_group(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def clean_up(self) -> tuple[int, struct_rusage]:
        """Kill what is left of the run, and return the CLI's wait status and resource usage."""
        self.kill_group(signal.SIGKILL)  # for systems that list no children below
        _, status, usage = os.wait4(self.pid, 0)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for pid in (first_line(f"/proc/self/task/{os.getpid()}/children") or "").split():
                os.kill(int(pid), signal.SIGKILL)
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.005)
            except ChildProcessError:
                break
        return status, usage


class Input:
    """What is still to be written to the CLI's stdin; never waits for the CLI to read it."""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd
        self.pending = b""
        self.source: int | None = 0
        self.ends = False
        try:
            import fcntl

            fcntl.fcntl(fd, 1031, 1 << 20)  # F_SETPIPE_SZ: a prompt of 1 MB goes in one piece
        except (ImportError, OSError):
            pass

    @property
    def is_due(self) -> bool:
        return self.fd is not None and (self.source is not None or bool(self.pending))

    def end(self, last_words: bytes = b"") -> None:
        """Let the input end after what was given so far and ``last_words``."""
        if not self.ends:
            while self.source is not None:
                self.fill()
            self.pending += last_words
            self.ends = True

    def fill(self) -> None:
        data = os.read(0, 1 << 20)
        self.pending += data
        if not data:
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            self.source = None

    def pump(self) -> None:
        """Write what the pipe takes now."""
        if self.fd is None:
            return
        try:
            while self.pending or self.source is not None:
                if not self.pending:
                    self.fill()
                self.pending = self.pending[os.write(self.fd, self.pending) :]
        except BlockingIOError:
            return
        except OSError:  # the CLI does not read any more
            self.ends = True
        if self.ends:
            os.close(self.fd)
            self.fd = None


class Output:
    """Looks at what the CLI printed, for its size and for the result that is the run's.

    One without a turn, or of a turn that a background task set off, is not: when a session is
    resumed, these come before the turn that was asked for.
    """

    def __init__(self, cli: Cli) -> None:
        self.stdout, self.stderr = cli.stdout, cli.stderr
        self.offset = 0
        self.line = bytearray()
        self.result_at: float | None = None
        self.silent_since: float | None = None

    def size(self) -> int:
        return os.fstat(self.stdout).st_size + os.fstat(self.stderr).st_size

    def look(self) -> bool:
        """Look at the next piece; whether there was one. Never more, or a flood would hold it."""
        if self.result_at is not None:
            return False
        data = os.pread(self.stdout, 1 << 20, self.offset)
        self.offset += len(data)
        if data and self.silent_since is not None:
            self.silent_since = time.monotonic()
        first, *rest = data.split(b"\n")
        self.line += first
        for part in rest:
            self.take_line()
            self.line = bytearray(part)
        return bool(data)

    def take_line(self) -> None:
        for result in self.results():
            if self.is_the_runs(result):
                self.result_at = self.result_at or time.monotonic()
            else:
                self.silent_since = time.monotonic()

    def is_the_runs(self, result: dict[str, object]) -> bool:
        origin = result.get("origin")
        if isinstance(origin, dict) and origin.get("kind") == "task-notification":
            return False
        return bool(result.get("is_error") or result.get("num_turns"))

    def results(self) -> list[dict[str, object]]:
        """The results on a line, which may have noise or other messages beside them."""
        if b'"result"' not in self.line:
            return []
        import json  # was loaded while the CLI was starting

        decode, text = json.JSONDecoder().raw_decode, self.line.decode(errors="replace")
        found: list[dict[str, object]] = []
        end = 0
        for _ in range(MOST_STARTS):
            start = text.find("{", end)
            try:
                message, end = decode(text, max(start, 0))
            except RecursionError:
                break
            except ValueError:
                if start < 0 or text.startswith('{"', start):
                    break
                end = start + 1
                continue
            if isinstance(message, dict) and message.get("type") == "result":
                found.append(message)
        return found

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing has followed a result that was not the run's."""
        since = self.silent_since
        return since is not None and time.monotonic() > since + seconds


class Ladder:
    """The end of a run that must end: the reason, and the signals that are still to come."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.reason: str | None = None
        self.rungs: list[tuple[float, int]] = []

    def begin(self, reason: str, now: float, stdin: Input) -> None:
        self.reason = reason
        stdin.end(INTERRUPT)
        self.rungs = [(now + 2 * self.grace, signal.SIGKILL), (now + self.grace, signal.SIGTERM)]

    def climb(self, now: float, cli: Cli) -> None:
        if self.rungs and now >= self.rungs[-1][0]:
            cli.kill_group(self.rungs.pop()[1])


def supervise(cli: Cli, deadline: float, bound: int, grace: float) -> str | None:
    """Wait for the CLI's end, and bring it about where it must be; the reason, if there was one."""
    import json  # noqa: F401  # now, while the CLI is starting

    stdin, output, ladder = Input(cli.stdin), Output(cli), Ladder(grace)
    deadline += cli.begun
    was_asked = False
    while not cli.has_ended():
        has_news = output.look()
        if output.result_at is not None or output.is_silent(SILENT_GRACES * grace):
            stdin.end()  # a CLI that has nothing to do exits, and one that works goes on
        stdin.pump()
        now = time.monotonic()
        if ladder.reason is not None:
            ladder.climb(now, cli)
            if output.size() > 2 * bound:
                cli.kill_group(signal.SIGKILL)
        elif was_asked or stop_requested(cli.run_dir):
            ladder.begin("request", now, stdin)
        elif output.size() > bound:
            ladder.begin("output_limit", now, stdin)
        elif now > deadline:
            ladder.begin("deadline", now, stdin)
        elif output.result_at is not None and now > output.result_at + LINGER_GRACES * grace:
            ladder.begin("lingered", now, stdin)
        tick = min(0.05, max(0.01, (now - cli.begun) / 50))  # a share of the run's length
        tick = 0.001 if has_news or stdin.is_due else tick
        caught = signal.sigtimedwait(AWAITED, tick)
        was_asked = caught is not None and caught.si_signo == signal.SIGTERM
    return ladder.reason


def stop_requested(run_dir: str) -> bool:
    return os.access(f"{run_dir}/stop", os.F_OK)


def main() -> None:
    run_dir, work_dir, deadline, bound, grace, *command = sys.argv[1:]
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir(work_dir)  # it may be named by a descriptor
    close_the_rest()
    os.umask(0o077)
    if stop_requested(run_dir):
        write_durably(f"{run_dir}/ended", {"started": 0, "ended_by": "request"})
        return
    cli = Cli(run_dir, command, int(bound))
    reason = supervise(cli, float(deadline), int(bound), float(grace))
    status, usage = cli.clean_up()
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXFSZ:
        reason = reason or "output_limit"
    write_durably(
        f"{run_dir}/ended",
        {
            "started": int(cli.exec_errno is None),
            "exec_errno": cli.exec_errno,
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "ended_by": reason,
            "wall_seconds": time.monotonic() - cli.begun,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        },
    )


if __name__ == "__main__":
    main()
