"""How the tests are shared out among workers that run side by side (``pytest -n``).

Half of a run is waiting: for Ray to come up, for a CLI to answer, for a grace to pass. A file is
one worker's, since its tests share what they start (a service, a cluster, a PostgreSQL); of files
that share nothing each test goes to who is free. What is heavy comes evenly between the rest:
otherwise every worker starts a Ray at once, and nothing is left that waits less. What takes longest
comes first: at the end the others would wait for it.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests.support.suite import fuzz
from tests.support.suite.folders import in_memory, of_this_run
from tests.support.suite.paths import FIXTURES

WEEKS = "tests/simulation/"
PAGE = "tests/page/"
DIALECTS = "tests/api/dialects/"
HEAVY = (
    "tests/trips/",
    "tests/clients_real/",
    PAGE,
    "tests/chaos/",
    WEEKS,
    "tests/api/demo/test_command.py",
)
LONGEST = (
    "tests/clients_real/",
    "tests/trips/service/test_executions.py",
    "tests/trips/cluster/test_node_loss.py",
    "tests/trips/cluster/test_starts.py",
    "tests/trips/service/test_clients.py",
    PAGE,
    "tests/chaos/test_kill_loops.py",
    "tests/trips/cluster/test_postgresql.py",
    "tests/chaos/test_crash_points.py",
)
"""What takes a minute or more on a busy machine, in about that order, by how the units begin."""
SPREAD = (
    "tests/chaos/test_io_faults.py",
    "tests/chaos/test_kill_loops.py::test_a_store",
    "tests/trips/real_cli/test_client_tools.py",
    "tests/trips/real_cli/test_isolation.py",
    "tests/trips/real_cli/test_process_ways.py",
    "tests/trips/real_cli/test_executions.py",
    "tests/trips/real_cli/test_settlement.py",
)
"""Tests that take their time and start all they need themselves, by how their ids begin."""
TOGETHER = {
    "tests/trips/service/test_hibernation.py": "tests/trips/service/test_clients.py",
    "tests/trips/service/test_load.py": "tests/trips/service/test_clients.py",
    "tests/trips/service/test_conversations.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_dialects.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_page.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_quiet.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_reconciliation.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_replicas.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_routing.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_kill_9.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_streaming.py": "tests/trips/service/test_executions.py",
    "tests/trips/service/test_telling.py": "tests/trips/service/test_executions.py",
    "tests/trips/cluster/test_upgrade.py": "tests/trips/cluster/test_starts.py",
}
"""Files that share a pool (``shared_pool``, ``clustered_pool``), and whose name their unit has."""


SLOW = (
    "tests/actors/router/test_hibernation.py::test_no_request_is_lost_or_refused_however",
    "tests/actors/router/test_term.py",
    "tests/actors/router/test_two_routers.py",
    "tests/actors/runtime/factory/test_makers.py",
    "tests/actors/subscription/test_bad_clis.py",
    "tests/actors/telemetry/test_log_stream.py",
    "tests/api/cli/operations/test_logs.py",
    "tests/api/cli/operations/test_migrate_store.py",
    "tests/api/cli/test_run.py",
    "tests/api/cli/test_usage.py",
    "tests/api/server/test_serve.py",
    "tests/api/test_schema.py",
    "tests/api/web/request/test_compression.py",
    "tests/deploy/test_wheel.py",
    "tests/field/test_any_course.py",
    "tests/field/test_field.py",
    "tests/pool/claude/process/",
    "tests/pool/storage/postgresql/",
    "tests/pool/storage/sqlite/test_sqlite.py",
    "tests/pool/storage/test_migrate.py",
    "tests/security/test_stalling.py",
    *HEAVY,
)
"""What starts programs or a database, or takes seconds, by how its ids begin."""


def is_slow(nodeid: str) -> bool:
    """Whether ``make test-fast`` leaves it out."""
    return nodeid.startswith(SLOW) or "[postgresql" in nodeid


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is slow as a whole is not even loaded where nothing slow is asked for."""
    asked = config.option.markexpr != "not slow"
    path = collection_path.relative_to(config.rootpath).as_posix()
    return None if asked else is_slow(f"{path}/") or None


def unit_of(nodeid: str) -> str:
    """What goes to one worker as a whole; of simulated weeks, all that look at the same one, and
    all that has a browser, or asks the official SDKs (``sdks``).
    """
    for folder in (PAGE, DIALECTS):
        if nodeid.startswith(folder):
            return folder
    if nodeid.startswith(WEEKS):
        return WEEKS + nodeid.removesuffix("]").rpartition("[")[2].rpartition("-")[2]
    if nodeid.startswith(SPREAD):
        return nodeid
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


def rank(unit: str) -> int:
    """Its place among what is heavy: the longest first."""
    longest = (at for at, each in enumerate(LONGEST) if unit.startswith(each))
    return next(longest, len(LONGEST))


def evenly(heavy: Sequence[str], light: Sequence[str]) -> Iterator[str]:
    """All of both in their order, so that what is light comes evenly after what is heavy."""
    done = 0
    for number, each in enumerate(heavy, 1):
        yield each
        until = len(light) * number // len(heavy)
        yield from light[done:until]
        done = until
    yield from light[done:]


TIMEOUT_SECONDS = 120.0
"""Of a test that says nothing else, as ``pyproject.toml`` has it."""
GRACE_SECONDS = 180.0
"""Beyond its limit, for what a test has started."""
GARBAGE_OBJECTS = 20_000
"""How many objects are made before the garbage among them is looked for: some ten megabytes."""
FOLDER = "CLAUDE_POOL_TESTS_FOLDER"
"""The variable by which workers know where to keep their files, where that is in memory."""
_STDERR = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """What the shell says of other pools and clusters is not about those of the tests. Nothing here
    speaks TLS: to read what a machine trusts takes each client of HTTP 22 ms of a core. What a
    shell runs in the background is deaf to these signals, and so would be what the tests start.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    config.stash[_STDERR] = os.fdopen(os.dup(2), "w")  # nothing is captured yet
    for name in ("CLAUDE_POOL_CONFIG", "CLAUDE_POOL_URL", "RAY_ADDRESS", "RAY_NAMESPACE"):
        os.environ.pop(name, None)
    os.environ["SSL_CERT_FILE"] = str(FIXTURES / "nobody.pem")
    if not hasattr(config, "workerinput"):
        memory = in_memory() if "TMPDIR" not in os.environ else None
        os.environ[FOLDER] = str(of_this_run(memory)) if memory else ""
    tempfile.tempdir = os.environ[FOLDER] or None
    fuzz.load_profile()
    gc.disable()  # until all is collected, see below


def pytest_collection_finish() -> None:
    """What was collected stays to the end: nobody looks for garbage in it, not while it is made,
    which takes a third of the 14 s of a core, and not later. In what tests leave it is looked for
    seldom: they end within moments, and as many objects as by default live and die at each step.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that takes too long is told so, once, by an error that may be lost: an event loop that
    is never given back keeps it, and a teardown that hangs has none to come. Such a test's process
    says where it is, and ends, and with it the run.
    """
    marker = item.get_closest_marker("timeout")
    limit = marker.args[0] if marker else item.config.getvalue("timeout") or TIMEOUT_SECONDS
    stderr = item.config.stash[_STDERR]
    faulthandler.dump_traceback_later(limit + GRACE_SECONDS, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker("slow")
    if not hasattr(config, "workerinput"):
        return  # one process alone goes file by file
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(unit_of(item.nodeid), []).append(item)
    heavy = sorted((unit for unit in units if unit.startswith(HEAVY)), key=rank)
    light = [unit for unit in units if not unit.startswith(HEAVY)]
    items[:] = [item for unit in evenly(heavy, light) for item in units[unit]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False  # the order is the one above
    return ByUnit(config, log)
