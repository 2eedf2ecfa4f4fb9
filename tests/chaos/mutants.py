# ruff: noqa: T201 - a script that is read on a terminal
"""Takes each guard out in turn, and shows that a test goes red.

A guarantee whose test stays green without its mechanism is no guarantee. Each mutant is made in a
copy of the tree: one piece of text that must stand there exactly once is replaced by another; then
the smallest selection of tests that should notice is run. The same selection is green without it,
which ``--only-mutated`` leaves to whoever has just run all tests.

    python tests/chaos/mutants.py [--only-mutated] [NAME ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 300.0
"""For a selection, which takes 2-20 s on an idle machine; a mutant may also hang, and is dead."""


@dataclass(frozen=True)
class Mutant:
    """One guard, and how it is taken out."""

    name: str
    file: str
    guard: str
    without: str
    tests: tuple[str, ...]
    """What should notice, as arguments of pytest."""


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    killed_by: str | None
    """The first test that went red; None where the mutant lives."""


MUTANTS = (
    Mutant(
        name="epoch check",
        file="pool/storage/sqlite/commits.py",
        guard="        if epoch != self.epoch:\n",
        without="        if epoch < 0:\n",
        tests=("tests/pool/storage/sqlite/test_sqlite.py", "-k", "taken_over"),
    ),
    Mutant(
        name="T1 before the spawn",
        file="actors/subscription/executions/live_executions.py",
        guard="            await self._context.ledger.begin(live.row)\n",
        without="            asyncio.get_running_loop().call_later(\n"
        "                0.5, lambda: self._context.spawn(self._context.ledger.begin(live.row))\n"
        "            )\n",
        tests=("tests/chaos/test_crash_points.py", "-k", "this_point"),
    ),
    Mutant(
        name="T2 in one transaction",
        file="pool/storage/ledger/ledger.py",
        guard="        return await self._database.write(lambda db: _settle(db, settlement))\n",
        without="        record = settlement.record\n"
        '        bare = settlement.model_copy(update={"record": None})\n'
        "        done = await self._database.write(lambda db: _settle(db, bare))\n"
        "        if done and record is not None:\n"
        "            await self._database.write(lambda db: records.add(db, record))\n"
        "        return done\n",
        tests=("tests/chaos/test_io_faults.py", "tests/chaos/test_crash_points.py"),
    ),
    Mutant(
        name="what is removed is overwritten",
        file="pool/storage/sqlite/connection.py",
        guard='        db.pragma("secure_delete", "ON")',
        without='        db.pragma("secure_delete", "OFF")',
        tests=("tests/pool/storage/sqlite/test_files.py", "-k", "nothing_of_what_was_removed"),
    ),
    Mutant(
        name="the log is emptied of what was removed",
        file="pool/storage/sqlite/database.py",
        guard="        await self._commits.read(empty_log)\n",
        without="        pass\n",
        tests=("tests/pool/storage/sqlite/test_files.py", "-k", "nothing_of_what_was_removed"),
    ),
    Mutant(
        name="no reservation beyond the budget",
        file="pool/subscriptions/admission.py",
        guard="        return Wait(reserves=_over_budget(report, ask) is None)\n",
        without="        return Wait()\n",
        tests=("tests/actors/subscription/test_admission.py", "-k", "cannot_pass_the_budget"),
    ),
    Mutant(
        name="each start sees what the one before it holds",
        file="actors/subscription/executions/queue.py",
        guard="            report = self._context.report()  # what this one holds",
        without="            pass  # what this one holds",
        tests=("tests/actors/subscription/test_admission.py", "-k", "cannot_pass_the_budget"),
    ),
    Mutant(
        name="budget is reserved",
        file="actors/subscription/executions/held.py",
        guard="    return Hold(intent.session_id, intent.reserved_nano_usd, ",
        without="    return Hold(intent.session_id, 0, ",
        tests=("tests/actors/subscription/test_admission.py", "-k", "budget_together"),
    ),
    Mutant(
        name="a claim lowers nothing that is held of a subscription",
        file="pool/subscriptions/state.py",
        guard="    return max(least.nano_usd, nano_usd(intent.request.max_budget_usd or 0))\n",
        without="    return nano_usd(intent.request.max_budget_usd or 0) or least.nano_usd\n",
        tests=("tests/pool/subscriptions/test_state.py",),
    ),
    Mutant(
        name="a claim lowers nothing that is held of a key",
        file="pool/keys/request_price.py",
        guard="    return max(0 if price is None else nano_usd(price), "
        "spent_nano_usd + least.seen)\n",
        without="    return spent_nano_usd + least.seen if price is None else nano_usd(price)\n",
        tests=("tests/pool/keys/test_request_price.py",),
    ),
    Mutant(
        name="another attempt is held beside what earlier ones spent",
        file="actors/router/dispatching/handoffs.py",
        guard="await self._keys.top_up(order.dispatch, spent, ",
        without="await self._keys.top_up(order.dispatch, 0, ",
        tests=("tests/actors/router/keys/test_keys.py", "-k", "attempt"),
    ),
    Mutant(
        name="an execution is looked at before anything is asked of it",
        file="actors/client/follow.py",
        guard="        if not await self._asked(execution_id, holder, looking):\n",
        without="        if await self._asked(execution_id, holder, looking) is None:\n",
        tests=("tests/security/test_every_route.py", "-k", "executions"),
    ),
    Mutant(
        name="executions are listed by tenant",
        file="pool/storage/sqlite/queries/ledger.sql",
        guard="WHERE tenant = :tenant AND (created_at, id) < (:at, :id)\n",
        without="WHERE (created_at, id) < (:at, :id)\n",
        tests=("tests/contracts/pool/test_tenants.py", "-k", "sqlite and executions"),
    ),
    Mutant(
        name="usage is listed by tenant",
        file="pool/storage/sqlite/queries/ledger.sql",
        guard="WHERE tenant = :tenant AND timestamp >= :since ",
        without="WHERE timestamp >= :since ",
        tests=("tests/contracts/pool/test_tenants.py", "-k", "sqlite and usage"),
    ),
    Mutant(
        name="a session stays with its tenant",
        file="pool/storage/sqlite/queries/directory.sql",
        guard="tenant = coalesce(tenant, excluded.tenant)",
        without="tenant = coalesce(excluded.tenant, tenant)",
        tests=("tests/contracts/pool/test_tenants.py", "-k", "sqlite and stays"),
    ),
    Mutant(
        name="anothers session is not gone on with",
        file="actors/router/dispatching/claims.py",
        guard="home is None or not await is_open(home, access, self._actors, self._known()):\n",
        without="home is None:\n",
        tests=("tests/security/test_tenants.py", "-k", "anothers_session"),
    ),
    Mutant(
        name="an old session is its turns' tenants'",
        file="actors/router/session_access.py",
        guard="    return bool(turns.items)\n",
        without="    return turns is not None\n",
        tests=("tests/security/test_tenants.py", "-k", "nobody_asked_for"),
    ),
    Mutant(
        name="events are told to their tenant",
        file="pool/telemetry/events.py",
        guard="PoolEventKind.GAP or access.owns(happening.tenant)\n",
        without="PoolEventKind.GAP or access is not None\n",
        tests=("tests/security/test_tenants.py", "-k", "events_tell"),
    ),
    Mutant(
        name="a closed subscription is not there",
        file="actors/client/calls/view.py",
        guard="        if not self._covers(subscription_id):\n",
        without="        if not subscription_id:\n",
        tests=("tests/security/test_tenants.py", "-k", "subscription"),
    ),
    Mutant(
        name="a stream ends with its key",
        file="api/web/stream/revocation.py",
        guard="        if not is_open:\n",
        without="        if is_open is None:\n",
        tests=("tests/security/test_revocation.py", "-k", "events and execution and revoked", "-x"),
    ),
    Mutant(
        name="nobody changes a pool anonymously",
        file="api/web/authentication.py",
        guard='OPERATOR.scopes - {"admin"})\n',
        without="OPERATOR.scopes)\n",
        tests=("tests/security/test_keyless.py", "-k", "operator"),
    ),
    Mutant(
        name="the operator's key is its user's alone",
        file="api/web/operator_key.py",
        guard="        if status.st_uid != os.getuid() or status.st_mode & 0o077:\n",
        without="        if status.st_uid != os.getuid():\n",
        tests=("tests/security/test_keyless.py", "-k", "could_know"),
    ),
    Mutant(
        name="the last administrator stays",
        file="actors/router/keys/key_registry.py",
        guard="            await self._check_not_last(key_id)\n",
        without="            pass\n",
        tests=("tests/actors/router/keys/test_keys.py", "-k", "last_administrator"),
    ),
    Mutant(
        name="slot is taken at admission",
        file="actors/subscription/executions/held.py",
        guard="            slots.take(execution_id, _hold_of(row))\n",
        without="            take = __import__('asyncio').get_running_loop().call_soon\n"
        "            take(slots.take, execution_id, _hold_of(row))\n",
        tests=("tests/actors/subscription/test_admission.py", "-k", "slots or budget_together"),
    ),
    Mutant(
        name="one that leaves takes no further call",
        file="actors/runtime/calls.py",
        guard="        if self._leaving.is_set():\n            return Left()\n",
        without="",
        tests=("tests/actors/router/test_hibernation.py", "-k", "however_leaving", "-x"),
    ),
    Mutant(
        name="who left something undone does not sleep",
        file="actors/router/presence/sleepers.py",
        guard="        if not (snapshot.is_at_rest and await",
        without="        if not (snapshot and await",
        tests=("tests/actors/router/test_hibernation.py", "-k", "last_moment"),
    ),
    Mutant(
        name="a snapshot goes before its activation comes",
        file="actors/router/presence/followers.py",
        guard="                await self._sleepers.wakes(spec.id)\n"
        "                is_outdated = await self._actors.activate(spec)\n",
        without="                is_outdated = await self._actors.activate(spec)\n"
        "                await self._sleepers.wakes(spec.id)\n",
        tests=("tests/actors/router/test_hibernation.py", "-k", "died_as_it_woke"),
    ),
    Mutant(
        name="what is about to be handed on is left to whoever hands it on",
        file="actors/router/dispatching/handoffs.py",
        guard="        if claim.placement <= 1 or asked is None or",
        without="        if claim.placement > 1 or asked is None or",
        tests=("tests/actors/subscription/executions/test_handoff.py", "-k", "keeps_the_earlier"),
    ),
    Mutant(
        name="what waits where no node can have it is let go of in time",
        file="actors/router/presence/releases.py",
        guard="        if spec.id in self._released or now - since < self._after:\n",
        without="        if spec.id in self._released or now - since < 2 * self._after:\n",
        tests=("tests/actors/router/presence/test_releases.py", "-x"),
    ),
    Mutant(
        name="what is released starts nothing",
        file="actors/subscription/executions/live_executions.py",
        guard="        self._context.state.retired = True\n"
        "        self._context.leaves_since = why\n",
        without="        self._context.leaves_since = why\n",
        tests=("tests/actors/router/presence/test_releases.py", "-x"),
    ),
    Mutant(
        name="a process is kept for the next router",
        file="actors/runtime/factory/router.py",
        guard="    SPARE.keep()\n",
        without="",
        tests=("tests/trips/service/test_replicas.py", "-k", "kept_for_it"),
    ),
    Mutant(
        name="a router that was overtaken leaves",
        file="actors/router/term.py",
        guard="        if latest > self._number:\n",
        without="        if latest < self._number:\n",
        tests=("tests/actors/router/test_term.py",),
    ),
    Mutant(
        name="a pool that runs keeps its database",
        file="pool/storage/postgresql/queries/directory.sql",
        guard="WHERE owner.holder IN (excluded.holder, 'the router') "
        "OR owner.seq = :silent::bigint\nRETURNING epoch;",
        without="RETURNING epoch;",
        tests=("tests/actors/router/test_term.py",),
    ),
    Mutant(
        name="an earlier activation leaves no snapshot",
        file="pool/storage/queries/directory.sql",
        guard="WHERE (excluded.epoch, excluded.version) >= (snapshots.epoch, snapshots.version);",
        without=";",
        tests=("tests/contracts/pool/test_snapshots.py", "-k", "sqlite and earlier_activation"),
    ),
    Mutant(
        name="exclusive lock",
        file="pool/storage/sqlite/connection.py",
        guard='        db.pragma("locking_mode", "EXCLUSIVE")\n',
        without='        db.pragma("locking_mode", "NORMAL")\n',
        tests=("tests/chaos/test_zombie.py",),
    ),
    Mutant(
        name="conditional update (PostgreSQL)",
        file="pool/storage/postgresql/queries/owner.sql",
        guard="UPDATE owner SET seq = seq + 1 WHERE subscription_id = :subscription_id"
        " AND epoch = :epoch\n",
        without="UPDATE owner SET seq = seq + 1 WHERE subscription_id = :subscription_id"
        " AND :epoch = :epoch\n",
        tests=("tests/pool/storage/postgresql/test_postgresql.py", "-k", "taken_over"),
    ),
    Mutant(
        name="nothing starts before it is durable",
        file="actors/subscription/executions/queue.py",
        guard="        unready = self._held.unready | self._see_off(report)\n",
        without="        unready = self._see_off(report)\n",
        tests=(
            "tests/actors/subscription/test_admission.py",
            "-k",
            "before_an_intent_is_durable",
        ),
    ),
    Mutant(
        name="digest of an idempotency key",
        file="actors/router/dispatching/claims.py",
        guard="    if claim.digest != digest:\n",
        without="    if not claim.digest:\n",
        tests=("tests/actors/router/test_router.py", "-k", "same_key"),
    ),
    Mutant(
        name="who comes second to a key takes nothing",
        file="pool/storage/directory/directory.py",
        guard="            if not claim.is_of(wanted):\n                return claim\n",
        without="",
        tests=("tests/contracts/pool/test_directory.py", "-k", "sqlite and second_to_a_key"),
    ),
    Mutant(
        name="the news of an end settles its reservation",
        file="actors/router/keys/open_reservations.py",
        guard="            self._news[event.execution_id].set()\n",
        without="            pass\n",
        tests=("tests/actors/router/keys/test_keys.py", "-k", "charged_its_cost"),
    ),
    Mutant(
        name="cost of this run alone",
        file="pool/claude/outcome/cost.py",
        guard="    if since_last and not any(map(_tells_a_total_alone, reading.results)):\n",
        without="    if len(since_last) < 0:\n",
        tests=("tests/pool/claude/outcome/test_cost.py",),
    ),
    Mutant(
        name="a request is kept before its document loses it",
        file="pool/storage/ledger/executions.py",
        guard="        return await _replaced(db, statement, row, columns)\n",
        without="        return False\n",
        tests=("tests/contracts/ledger/test_executions.py", "-k", "sqlite and earlier_release"),
    ),
    Mutant(
        name="a request is written once",
        file="pool/storage/ledger/rows.py",
        guard="document(row, without=_REQUEST)",
        without="document(row)",
        tests=("tests/contracts/ledger/test_executions.py", "-k", "sqlite and writes_its_request"),
    ),
    Mutant(
        name="a turn begins when all of it is there",
        file="pool/claude/process/supervisor/entries.py",
        guard="    return (words, begins, ends) if ends <= size else None\n",
        without="    return (words, begins, ends)\n",
        tests=("tests/pool/claude/process/supervisor", "-k", "torn or owner_died_between"),
    ),
    Mutant(
        name="a turn is noted before it is fed",
        file="pool/claude/process/supervisor/supervision.py",
        guard='        self._note(f"begins {self._output.offset} {now!r} - {turn.run}")\n',
        without="",
        tests=("tests/pool/claude/process/supervisor/test_supervision.py", "-k", "second_turn"),
    ),
    Mutant(
        name="an idle process ends when its time is over",
        file="pool/claude/process/supervisor/supervision.py",
        guard="        return self._spoken_at + self._keep\n",
        without="        return self._spoken_at + 600\n",
        tests=("tests/pool/claude/process/supervisor/test_supervision.py", "-k", "gone_for_good"),
    ),
    Mutant(
        name="the answer leaves at its line",
        file="pool/claude/process/process_run.py",
        guard="        if once_answered and stretch is not None and",
        without="        if not self.run_id and stretch is not None and",
        tests=("tests/pool/claude/process/test_process_run.py", "-k", "leaves_at_its_line"),
    ),
    Mutant(
        name="the first result that is the run's answers",
        file="pool/claude/output/stream.py",
        guard="        return next((each for each in results if is_the_runs(each[0])), best)\n",
        without="        return best\n",
        tests=(
            "tests/pool/claude/outcome/test_conclude.py",
            "-k",
            "further_answer or make_it_good",
        ),
    ),
    Mutant(
        name="a session's last words are waited for",
        file="pool/claude/process/process_runner.py",
        guard="            await self.quiet(goes_on_from)\n",
        without="            pass\n",
        tests=("tests/pool/claude/process/test_process_run.py", "-k", "last_words"),
    ),
    Mutant(
        name="a kept process serves its own settings alone",
        file="pool/claude/launch/process_settings.py",
        guard="        return next_turn.model_copy(update=same) == self\n",
        without="        return True\n",
        tests=(
            "tests/pool/claude/process/idle/test_kept.py",
            "-k",
            "exactly or another_environment",
        ),
    ),
    Mutant(
        name="a turn that no kept process takes up is run by another",
        file="pool/claude/process/process_ways.py",
        guard="        if await kept.run.is_taken_up():\n",
        without="        if kept.run.way:\n",
        tests=("tests/pool/claude/process/idle/test_kept.py", "-k", "whatever_happens"),
    ),
    Mutant(
        name="what showed something odd is not given a turn",
        file="pool/claude/process/process_ways.py",
        guard="        if files.exists() or not is_fit(kept):\n",
        without="        if files.exists():\n",
        tests=("tests/pool/claude/process/idle/test_kept.py", "-k", "print_"),
    ),
    Mutant(
        name="a process is cleared for its own key alone",
        file="pool/claude/launch/process_settings.py",
        guard="        cleared = self.model_copy(update=told)\n",
        without='        cleared = self.model_copy(update={**session.model_dump(), "tools": ()})\n',
        tests=("tests/pool/claude/process/idle/test_cleared.py", "-k", "cannot_serve_exactly"),
    ),
    Mutant(
        name="a process that was another key's in between is nobody's",
        file="pool/claude/process/process_ways.py",
        guard="        kept.settings = kept.settings.after(settings)\n",
        without="        pass\n",
        tests=("tests/pool/claude/process/idle/test_cleared.py", "-k", "nobodys"),
    ),
    Mutant(
        name="a process knows which settings of the model it was told last",
        file="pool/claude/launch/process_settings.py",
        guard='{"owner": owner, "model_settings": turn.model_settings}',
        without='{"owner": owner}',
        tests=("tests/pool/claude/process/idle/test_model_settings.py", "-k", "its_own"),
    ),
    Mutant(
        name="settings of the model that no turn asks for are taken back",
        file="pool/claude/launch/model_settings.py",
        guard='        **{name: environment.get(name, "") for name in _ALL},\n',
        without="",
        tests=("tests/pool/claude/process/idle/test_model_settings.py", "-k", "its_own"),
    ),
    Mutant(
        name="a process that does not take the settings of the model is not used",
        file="pool/claude/process/idle/control.py",
        guard=' or any(each.get("subtype") != "success" for each in told[0].values())',
        without="",
        tests=("tests/pool/claude/process/idle/test_model_settings.py", "-k", "does_not_take"),
    ),
    Mutant(
        name="that a process is cleared is believed word for word",
        file="pool/claude/process/idle/cleared.py",
        guard="    return _uuid(session_id) if is_new and is_free and is_whole else None\n",
        without="    return _uuid(session_id)\n",
        tests=("tests/pool/claude/process/idle/test_cleared.py", "-k", "anything_else"),
    ),
    Mutant(
        name="a session that was never begun leaves no transcript",
        file="pool/claude/process/start.py",
        guard="        if not launch.resumes and launch.forks is None:\n",
        without="        if launch.forks is not None:\n",
        tests=("tests/pool/claude/process/idle/test_cleared.py", "-k", "next_activation"),
    ),
    Mutant(
        name="what was said in a session elsewhere is read",
        file="pool/claude/process/idle/kept.py",
        guard="    if _has_gone_on_elsewhere(kept):\n",
        without="    if not kept.process.exists():\n",
        tests=("tests/pool/claude/process/idle/test_kept.py", "-k", "elsewhere"),
    ),
    Mutant(
        name="a claim that is refused is none",
        file="pool/claude/process/idle/spares.py",
        guard="        if fits and await self._bind(spare, launch, environment):\n",
        without="        if fits and (await self._bind(spare, launch, environment) or spare):\n",
        tests=("tests/pool/claude/process/idle/test_spares.py", "-k", "refused"),
    ),
    Mutant(
        name="a session lives by the id that it was begun under",
        file="actors/router/dispatching/placer.py",
        guard="await self._claims.begun_as(order, execution.session_id, target)",
        without="pass",
        tests=("tests/actors/subscription/test_spares.py", "-k", "lives_by_that"),
    ),
    Mutant(
        name="what was kept by a dead activation is let go",
        file="actors/subscription/subscription.py",
        guard="        await dependencies.runner.let_go()\n",
        without="",
        tests=("tests/chaos/test_crash_points.py", "-k", "has_kept"),
    ),
    Mutant(
        name="what is charged after the answer is counted",
        file="actors/subscription/executions/aftermath.py",
        guard="        usage = await run.later_usage()\n",
        without="        usage = None if await run.later_usage() else None\n",
        tests=("tests/actors/subscription/executions/test_aftermath.py", "-k", "recorded_beside"),
    ),
    Mutant(
        name="what an activation left is looked after",
        file="actors/subscription/subscription.py",
        guard="        known = await self._executions.aftermath.take_up(left)\n",
        without="        known = frozenset(left)\n",
        tests=("tests/actors/subscription/executions/test_aftermath.py", "-k", "looked_after"),
    ),
    Mutant(
        name="calls are durable before they are told",
        file="actors/subscription/executions/tool_rounds.py",
        guard="        await self._durable(\n"
        "            lambda: self._context.ledger.update(live.row.model_copy(update=changes))\n"
        "        )\n"
        "        live.answered.clear()\n",
        without="        live.answered.clear()\n",
        tests=("tests/chaos/test_crash_points_of_rounds.py", "-k", "this_point and results-0"),
    ),
    Mutant(
        name="results are durable before they are taken",
        file="actors/subscription/executions/tool_rounds.py",
        guard="        await self._context.ledger.update(live.row.model_copy(update=changes))\n"
        "        live.becomes(**changes)\n"
        "        live.answered.set()\n",
        without="        live.becomes(**changes)\n        live.answered.set()\n",
        tests=("tests/chaos/test_crash_points_of_rounds.py", "-k", "this_point and goes_on-0"),
    ),
    Mutant(
        name="that it goes on is durable before the process has the results",
        file="actors/subscription/executions/tool_rounds.py",
        guard="        await self._durable(\n"
        "            lambda: self._context.ledger.update(live.row.model_copy(update=changes))\n"
        "        )\n"
        "        live.becomes(**changes)\n"
        "        self._context.changed()\n",
        without="        live.becomes(**changes)\n        self._context.changed()\n",
        tests=("tests/chaos/test_crash_points_of_rounds.py", "-k", "gone_on_with"),
    ),
    Mutant(
        name="a process is given each result once",
        file="pool/claude/process/tool_calls.py",
        guard="        if asked.request_id not in self._replied:\n",
        without="        if asked.request_id:\n",
        tests=("tests/chaos/test_crash_points_of_rounds.py", "-k", "this_point and call-1-0"),
    ),
    Mutant(
        name="results that died with their process may come once more",
        file="actors/subscription/executions/round_outcomes.py",
        guard="(waited or _died_before_it_used(row, outcome))",
        without="waited",
        tests=("tests/chaos/test_crash_points_of_rounds.py", "-k", "process_gone and results-0"),
    ),
    Mutant(
        name="results with which the API may have been asked are not given again",
        file="actors/subscription/executions/round_outcomes.py",
        guard="    return not asked and further == ModelUsage()\n",
        without="    return True\n",
        tests=("tests/actors/subscription/executions/test_round_outcomes.py", "-x"),
    ),
    Mutant(
        name="results are not taken before it is known whether the process lives",
        file="actors/subscription/executions/tool_rounds.py",
        guard="    await within(LONGEST_POLL_SECONDS, live.is_found)\n",
        without="",
        tests=("tests/chaos/test_crash_points_of_rounds.py", "-k", "process_gone and results-0"),
    ),
    Mutant(
        name="executions are adopted",
        file="actors/subscription/executions/live_executions.py",
        guard="run = await asyncio.to_thread(deps.runner.find, await self.launch(row.intent))\n",
        without="run = None\n",
        tests=("tests/actors/subscription/test_activation.py", "-k", "adopts"),
    ),
    Mutant(
        name="a subscription's failure is tried elsewhere",
        file="actors/subscription/executions/settlements.py",
        guard="follows or goes_elsewhere(live.row, outcome, context.state.standing, most)",
        without="follows",
        tests=(
            "tests/actors/subscription/executions/test_failover.py",
            "-k",
            "answered_by_the_next and usage_limit",
        ),
    ),
    Mutant(
        name="attempts are bounded",
        file="pool/subscriptions/consequences/failover.py",
        guard="    if len(intent.earlier_attempts) + 1 >= most_attempts:\n",
        without="    if most_attempts < 0:\n",
        tests=("tests/pool/subscriptions/consequences/test_failover.py",),
    ),
    Mutant(
        name="nobody is tried twice",
        file="actors/router/dispatching/handoffs.py",
        guard="            barred={each: tried(each, handoff) for each in owners},\n",
        without="            barred={owners[-1]: tried(owners[-1], handoff)},\n",
        tests=("tests/actors/subscription/executions/test_failover.py", "-k", "tried_twice"),
    ),
    Mutant(
        name="what is handed on is asked for again",
        file="actors/subscription/executions/live_executions.py",
        guard="        for live in leaving:\n",
        without="        for live in leaving[:0]:\n",
        tests=("tests/actors/subscription/executions/test_handoff.py", "-k", "killed"),
    ),
    Mutant(
        name="the run of what is handed on is looked after",
        file="actors/subscription/executions/live_executions.py",
        guard="            await self._look_after_what_ran(live)\n",
        without="",
        tests=("tests/actors/subscription/executions/test_handoff.py", "-k", "charged_last"),
    ),
    Mutant(
        name="a stream that gave output is not begun again",
        file="pool/subscriptions/consequences/failover.py",
        guard="(intent.request.tools or intent.request.stream)",
        without="intent.request.tools",
        tests=("tests/actors/subscription/executions/test_failover.py", "-k", "gave_output"),
    ),
    Mutant(
        name="a failed turn is cut from the copy",
        file="actors/subscription/sessions/transcripts.py",
        guard="without = [launch async for launch in self._unanswered(session_id, execution_id)]",
        without="without: list[Launch] = []",
        tests=("tests/actors/router/test_sessions.py", "-k", "failed"),
    ),
    Mutant(
        name="turns that wait do not hide a failed one",
        file="actors/subscription/sessions/transcripts.py",
        guard="            if row.outcome is None and not is_asking:\n                continue",
        without="            if row.outcome is None and not is_asking:\n                return",
        tests=("tests/actors/router/test_sessions.py", "-k", "waits_behind_it"),
    ),
    Mutant(
        name="what leaves keeps its session",
        file="pool/subscriptions/slots.py",
        guard="            self.leaving[execution_id] = hold\n",
        without="            del hold\n",
        tests=("tests/actors/router/test_sessions.py", "-k", "handed_on_goes_behind"),
    ),
    Mutant(
        name="a turn that waited asks where its session is",
        file="actors/subscription/executions/runs.py",
        guard="fetched(self._context, live.row, waited=waited)",
        without="fetched(self._context, live.row, waited=False)",
        tests=("tests/actors/router/test_sessions.py", "-k", "follows_it_though"),
    ),
    Mutant(
        name="a session's home is asked first",
        file="actors/router/dispatching/placement.py",
        guard="    return cause in _HOLDS_FOR_NEW_WORK and at_home.report.id not in refusals\n",
        without="    return cause is None\n",
        tests=("tests/actors/router/test_sessions.py", "-k", "takes_nothing_new"),
    ),
    Mutant(
        name="a copy is refused while a turn executions",
        file="actors/subscription/sessions/transcripts.py",
        guard='            raise Conflict("a turn of it is running there")\n',
        without="            pass\n",
        tests=("tests/actors/router/test_sessions.py", "-k", "not_copied_while"),
    ),
    Mutant(
        name="a session that was not moved stays",
        file="actors/subscription/sessions/session_transfer.py",
        guard="        await _give_back(context, intent)\n",
        without="",
        tests=(
            "tests/actors/router/test_sessions.py",
            "-k",
            "gone or cannot_be_asked or refuses_leaves",
        ),
    ),
    Mutant(
        name="a fork goes back to its owner",
        file="actors/router/dispatching/claims.py",
        guard="        if home is not None and home.subscription_id != owner:\n            await",
        without="        if home is not None and home.subscription_id != owner"
        " and order.forks is None:\n            await",
        tests=("tests/actors/router/test_sessions.py", "-k", "nobody_else_took"),
    ),
    Mutant(
        name="the base of a session's cost goes along",
        file="pool/subscriptions/consequences/settlement.py",
        guard="        total = row.intent.session_total_nano_usd\n",
        without="        pass\n",
        tests=("tests/actors/router/test_sessions.py", "-k", "charged_again"),
    ),
    Mutant(
        name="a turn that takes its time is not spread",
        file="actors/router/sessions.py",
        guard="                continue  # a turn that takes its time\n",
        without="                pass\n",
        tests=("tests/actors/router/test_sessions.py", "-k", "runs_for_long"),
    ),
    Mutant(
        name="one goes first after a cooldown",
        file="pool/subscriptions/status.py",
        guard="min(slots, 1) if is_proving(state.standing, now) else slots",
        without="slots",
        tests=("tests/actors/subscription/executions/test_queue.py", "-k", "goes_first or probe"),
    ),
    Mutant(
        name="patience ends",
        file="actors/subscription/executions/queue.py",
        guard="                self.give_up(live, _waited(live))\n",
        without="                pass\n",
        tests=("tests/actors/subscription/executions/test_queue.py", "-k", "as_long_as_it_may"),
    ),
    Mutant(
        name="callers take turns",
        file="pool/subscriptions/slots.py",
        guard="key=lambda id_: runs[self.waiting[id_].caller]",
        without="key=lambda id_: 0 * runs[self.waiting[id_].caller]",
        tests=("tests/actors/subscription/executions/test_queue.py", "-k", "many_requests"),
    ),
    Mutant(
        name="a subscription in cooldown hands its queue on",
        file="actors/subscription/executions/queue.py",
        guard="            if (why := self._handoff.reason("
        "live, refused, report, is_last=is_last)) is not None:\n",
        without="            why = self._handoff.reason(live, refused, report, is_last=is_last)\n"
        "            if why is not None and not why.detail:\n",
        tests=(
            "tests/actors/subscription/executions/test_queue.py",
            "-k",
            "hands_its_queue_on or becomes_free",
        ),
    ),
    Mutant(
        name="a login is checked before it is used",
        file="actors/subscription/upkeep/login_check.py",
        guard="    if await _is_signed_out(context):\n",
        without="    if False:\n",
        tests=("tests/actors/subscription/executions/test_queue.py", "-k", "signed_in"),
    ),
    Mutant(
        name="a refused placement stays refused",
        file="actors/subscription/admissions.py",
        guard="        if self._refusals.has_refused(intent):\n",
        without="        if intent.placement < 0:\n",
        tests=("tests/actors/router/dispatching/test_dispatcher.py", "-k", "late"),
    ),
    Mutant(
        name="of two turns with one history one has the session",
        file="pool/storage/directory/directory.py",
        guard="    if not await take(db, conversation, session_id):\n",
        without="    if await take(db, conversation, session_id) is None:\n",
        tests=("tests/contracts/pool/test_directory.py", "-k", "sqlite and one_history"),
    ),
    Mutant(
        name="a conversation is over with the next turn of its session",
        file="pool/storage/sqlite/queries/directory.sql",
        guard="    last_execution_id = excluded.last_execution_id, conversation = NULL;\n",
        without="    last_execution_id = excluded.last_execution_id;\n",
        tests=("tests/contracts/pool/test_directory.py", "-k", "sqlite and next_turn"),
    ),
    Mutant(
        name="what is known late of a conversation is not noted",
        file="pool/storage/queries/directory.sql",
        guard="WHERE session_id = :session_id AND last_execution_id = :execution_id;\n",
        without="WHERE session_id = :session_id AND :execution_id <> '';\n",
        tests=("tests/contracts/pool/test_directory.py", "-k", "sqlite and next_turn"),
    ),
    Mutant(
        name="a CLI does nothing more without its supervisor",
        file="pool/claude/process/supervisor/cli.py",
        guard="                stop_without(supervisor)\n",
        without="",
        tests=("tests/pool/claude/process/test_adoption.py", "-k", "nothing_more_until"),
    ),
    Mutant(
        name="a stopped CLI is ended by the next activation",
        file="pool/claude/process/process_runner.py",
        guard="(is_new or process.is_orphaned())",
        without="is_new",
        tests=("tests/pool/claude/process/idle/test_kept.py", "-k", "by_the_next_activation"),
    ),
    Mutant(
        name="calls of strict tools fit their schemas",
        file="pool/claude/output/rounds.py",
        guard="        if answers := self._strict.refused(calls.values()):\n",
        without="        if answers := self._strict.refused(()):\n",
        tests=("tests/pool/claude/output/test_rounds.py", "-k", "do_not_fit"),
    ),
    Mutant(
        name="another activation admits by no placement of the one before",
        file="actors/subscription/refusals.py",
        guard="        if intent.placed_for not in {0, self._epoch}:\n",
        without="        if False:\n",
        tests=("tests/actors/router/dispatching/test_dispatcher.py", "-k", "late"),
    ),
    Mutant(
        name="what was given back goes nowhere else by the same handoff",
        file="actors/router/dispatching/placer.py",
        guard="    if claim is not None and order.is_given_back(claim):\n",
        without="    if claim is None and order.is_given_back(claim):\n",
        tests=("tests/actors/router/dispatching/test_dispatcher.py", "-k", "given_back"),
    ),
    Mutant(
        name="what is given back has a number of its own",
        file="actors/router/dispatching/claims.py",
        guard="        if not order.is_given_back(claim):\n",
        without="        if claim.subscription_id != owner:\n",
        tests=("tests/actors/router/dispatching/test_dispatcher.py", "-k", "given_back"),
    ),
    Mutant(
        name="prompts of removed subscriptions go",
        file="actors/router/ledgers/archive.py",
        guard="        removed = await ledger.remove_content(now - self._keep_prompts, now)\n",
        without="        removed = 0\n",
        tests=("tests/actors/router/ledgers/test_archive.py", "-k", "kept_no_longer"),
    ),
    Mutant(
        name="a process ends with the run that it was never told",
        file="pool/claude/process/process_runner.py",
        guard="            directory.process.end_if_nobodys()\n",
        without="",
        tests=("tests/pool/claude/process/idle/test_spares.py", "-k", "never_said"),
    ),
)


class NotThere(Exception):
    """A guard that stands somewhere else by now: the mutant has to be written anew."""

    def __init__(self, mutant: Mutant, count: int) -> None:
        super().__init__(mutant, count)
        self.mutant = mutant
        self.count = count

    def __str__(self) -> str:
        return (
            f"{self.mutant.name}: {self.mutant.file} holds its guard {self.count} times, "
            "and not once: write the mutant anew"
        )


def chosen(names: Iterable[str]) -> tuple[Mutant, ...]:
    """The mutants of these names, or all."""
    wanted = set(names)
    unknown = wanted - {mutant.name for mutant in MUTANTS}
    if unknown:
        raise SystemExit(f"no such mutant: {', '.join(sorted(unknown))}")
    return tuple(mutant for mutant in MUTANTS if not wanted or mutant.name in wanted)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tree, to be changed."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        # With its bytecode, which is right for as long as a file keeps its time.
        hidden = shutil.ignore_patterns(".*", "node_modules", "data", "dist")
        shutil.copytree(ROOT, tree, ignore=hidden)
        yield tree


@contextmanager
def mutated(tree: Path, mutant: Mutant) -> Iterator[None]:
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.guard) != 1:
        raise NotThere(mutant, text.count(mutant.guard))
    path.write_text(text.replace(mutant.guard, mutant.without), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def first_failure(tree: Path, tests: tuple[str, ...]) -> str | None:
    """Run a selection; the first test that goes red."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("CHAOS", None)
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            argv, cwd=tree, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            code = process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "(it hung)"
        said.seek(0)
        lines = said.read().splitlines()
    if code == 0:
        return None
    red = [line for line in lines if line.startswith(("FAILED tests/", "ERROR tests/"))]
    if code != 1 or not red:
        raise RuntimeError("\n".join(lines[-40:]))
    return red[0].split()[1].partition("::")[2] or red[0]


def judged(mutants: Iterable[Mutant], *, also_whole: bool = True) -> Iterator[Verdict]:
    """Each mutant, and who killed it. The tree without any must be green, or they show nothing."""
    with copied() as tree:
        for mutant in mutants:
            if also_whole and (red := first_failure(tree, mutant.tests)) is not None:
                raise RuntimeError(f"{red} is red without any mutant: see to that first")
            with mutated(tree, mutant):
                yield Verdict(mutant, first_failure(tree, mutant.tests))


def main() -> int:
    alive = 0
    width = max(len(mutant.name) for mutant in MUTANTS)
    names = [each for each in sys.argv[1:] if each != "--only-mutated"]
    for verdict in judged(chosen(names), also_whole="--only-mutated" not in sys.argv[1:]):
        alive += verdict.killed_by is None
        print(f"{verdict.mutant.name:{width}}  {verdict.killed_by or 'LIVES'}", flush=True)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
