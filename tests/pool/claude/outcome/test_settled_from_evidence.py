"""Runs that left no result: what they are concluded as, and what a second look adds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pool.claude.launch.command import prompt_uuid
from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import StreamReading
from pool.claude.process.rescan import Correction, correction, rescan
from pool.claude.transcripts import files as session_files
from pool.claude.transcripts.files import read_transcript
from pool.claude.transcripts.sighting import Sighting
from pool.claude.transcripts.transcript import Transcript
from pool.executions.outcome import Failed, FailureKind
from pool.executions.status import ExecutionStatus, final_status
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage, UsageSource

SESSION = "77ae021c-28d4-400d-9fda-9c9f53307d0d"
MODEL = "claude-sonnet-4-5-20250929"
NO_TRANSCRIPT = Transcript()


def used(input_tokens: int = 100, output_tokens: int = 20, cost: int = 0) -> Usage:
    tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return Usage(models={MODEL: ModelUsage(**tokens, cost_nano_usd=cost)})


PRICED = LearnedPrices().having_seen(used(100, 20, 600_000)).having_seen(used(100, 1, 315_000))
ROUGHLY_PRICED = LearnedPrices().having_seen(used(100, 20, 600_000))


def a_launch(rates: LearnedPrices = PRICED, **fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": "exec_1",
            "prompt": "the prompt",
            "session_id": SESSION,
            "resumes": False,
            "model": MODEL,
            "timeout_seconds": 600,
            "rates": rates,
            **fields,
        }
    )


def a_reading(**messages: Usage) -> StreamReading:
    return StreamReading(init_seen=True, model=MODEL, messages=messages)


def a_transcript(*counts: tuple[int, int], unanswered: tuple[str, ...] = ()) -> Transcript:
    answers = tuple(
        Sighting(
            message_id=f"msg_{number}",
            request_ids=frozenset({f"req_{number}"}),
            model=MODEL,
            usage=used(*each).models[MODEL],
            is_final=True,
        )
        for number, each in enumerate(counts, 1)
    )
    return Transcript(answers=answers, unanswered=frozenset(unanswered))


def concluded(
    reading: StreamReading,
    transcript: Transcript = NO_TRANSCRIPT,
    rates: LearnedPrices = PRICED,
    **ending: Any,
) -> Failed:
    outcome = conclude(reading, Ending(**(ending or {"signal": 9})), a_launch(rates), transcript)
    assert isinstance(outcome, Failed)
    return outcome


def test_a_killed_run_is_interrupted_with_the_cost_so_far() -> None:
    outcome = concluded(a_reading(msg_2=used(100, 1)), a_transcript((100, 20)))

    assert final_status(outcome) is ExecutionStatus.INTERRUPTED
    assert (outcome.kind, outcome.usage_source) == (FailureKind.KILLED, UsageSource.PARTIAL)
    assert outcome.usage == used(200, 21, 915_000)
    assert (outcome.unfinished_answers, outcome.unanswered_requests) == (1, 0)


def test_what_the_spool_missed_is_settled_from_the_transcript_alone() -> None:
    outcome = concluded(a_reading(), a_transcript((100, 20)))

    assert (outcome.evidence, outcome.usage) == (True, used(100, 20, 600_000))


def test_what_it_wrote_for_an_hour_costs_two_of_input() -> None:
    (answer,) = a_transcript((100, 20)).answers
    written = answer.usage.model_copy(update={"cache_creation_input_tokens": 50})
    answer = answer.model_copy(update={"usage": written, "hour_writes": 50})

    outcome = concluded(a_reading(), Transcript(answers=(answer,)))

    assert outcome.usage.cost_nano_usd == 600_000 + 50 * 2 * 3_000


def test_an_answer_in_both_is_charged_once() -> None:
    outcome = concluded(a_reading(msg_1=used(100, 1)), a_transcript((100, 20)))

    assert (outcome.usage, outcome.unfinished_answers) == (used(100, 20, 600_000), 0)


@pytest.mark.parametrize("transcript", [Transcript(), a_transcript(unanswered=("r1",))])
def test_a_run_that_began_and_shows_no_answer_is_uncertain(transcript: Transcript) -> None:
    outcome = concluded(a_reading(), transcript)

    assert final_status(outcome) is ExecutionStatus.UNCERTAIN
    assert outcome.unanswered_requests == len(transcript.unanswered)


def test_a_request_in_the_transcript_shows_that_a_run_began() -> None:
    assert concluded(StreamReading()).evidence
    assert not concluded(StreamReading(), a_transcript(unanswered=("r1",))).evidence


def test_tokens_without_a_price_are_kept_and_their_cost_is_uncertain() -> None:
    outcome = concluded(a_reading(), a_transcript((100, 20)), LearnedPrices())

    assert final_status(outcome) is ExecutionStatus.UNCERTAIN
    assert outcome.usage == used(100, 20)


def test_a_cost_that_rests_on_an_assumption_says_so() -> None:
    outcome = concluded(a_reading(msg_1=used(100, 1)), rates=ROUGHLY_PRICED)

    assert (outcome.evidence, outcome.usage.cost_nano_usd) == (True, 315_000)
    assert outcome.assumed_prices == ("output costs 5 x input",)


@pytest.mark.parametrize(
    ("by", "kind", "status"),
    [
        (EndedBy.DEADLINE, FailureKind.TIMEOUT, ExecutionStatus.FAILED),
        (EndedBy.REQUEST, FailureKind.INTERRUPTED, ExecutionStatus.INTERRUPTED),
    ],
)
def test_a_run_that_was_ended_keeps_its_reason(
    by: EndedBy, kind: FailureKind, status: ExecutionStatus
) -> None:
    outcome = concluded(a_reading(msg_1=used(100, 1)), signal=9, ended_by=by)

    assert (outcome.kind, final_status(outcome)) == (kind, status)


def test_a_result_outranks_the_transcript() -> None:
    result = {"is_error": False, "num_turns": 1, "model_usage_since_last_result": {}}
    reading = a_reading().model_copy(update={"results": (result,), "said": ("",)})

    assert conclude(reading, Ending(exit_code=0), a_launch(), a_transcript((9, 9))).usage == Usage()


# -- the second look -----------------------------------------------------------------------------


def test_a_correction_is_what_was_not_counted_yet() -> None:
    found = correction(a_launch(), a_transcript((100, 20)), used(100, 1))

    assert found == Correction(usage=used(0, 19, 600_000))


def test_a_price_that_was_learned_later_prices_what_was_counted() -> None:
    assert correction(a_launch(LearnedPrices()), Transcript(), used(100, 20)) is None
    assert correction(a_launch(), Transcript(), used(100, 20)) == Correction(
        usage=Usage(models={MODEL: ModelUsage(cost_nano_usd=600_000)})
    )


def test_evidence_waits_for_a_price() -> None:
    assert correction(a_launch(LearnedPrices()), a_transcript((100, 20)), Usage()) is None


def test_a_correction_that_was_recorded_is_not_found_again() -> None:
    launch, transcript, recorded = a_launch(), a_transcript((100, 20)), used(100, 1)

    found = correction(launch, transcript, recorded)
    assert found is not None

    assert correction(launch, transcript, recorded) == found
    assert correction(launch, transcript, recorded + found.usage) is None


def test_without_evidence_there_is_no_correction() -> None:
    assert correction(a_launch(), a_transcript(unanswered=("r1",)), Usage()) is None


# -- the files -----------------------------------------------------------------------------------


def written(config_dir: Path, *, project: str = "-w", padding: int = 0) -> Launch:
    """A session of two turns, of which the second is the launch's, with a subagent."""
    launch = a_launch()
    (config_dir / "projects" / project).mkdir(parents=True)
    file = config_dir / "projects" / project / f"{SESSION}.jsonl"
    first = {"type": "user", "uuid": "x", "promptId": "p0", "promptSource": "sdk"}
    ours = {**first, "uuid": prompt_uuid(launch), "promptId": "p1"}
    padded = {"type": "attachment", "content": "x" * padding}
    file.write_text(text(first, an_answer("msg_0"), padded, ours, an_answer("msg_1")))
    subagents = file.with_suffix("") / "subagents"
    subagents.mkdir(parents=True)
    told = {"type": "user", "isSidechain": True, "promptId": "p1"}
    (subagents / "agent-a1.jsonl").write_text(text(told, an_answer("msg_2")))
    (subagents / "agent-nobodys.jsonl").write_text(text(an_answer("msg_3")))
    return launch


def an_answer(id_: str) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 20}
    message = {"id": id_, "model": MODEL, "usage": usage, "stop_reason": "end_turn"}
    return {"type": "assistant", "message": message, "requestId": f"req_{id_}"}


def text(*entries: dict[str, Any]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def seen(transcript: Transcript) -> list[str]:
    return [answer.message_id for answer in transcript.answers]


@pytest.mark.parametrize("project", ["-w", "-srv-pool-a-shortened-name-1x2y3z"])
def test_a_session_and_its_subagents_are_found_in_any_project(tmp_path: Path, project: str) -> None:
    launch = written(tmp_path, project=project)

    assert seen(read_transcript(tmp_path, launch)) == ["msg_1", "msg_2"]


def test_without_files_there_is_nothing_to_see(tmp_path: Path) -> None:
    assert read_transcript(tmp_path / "absent", a_launch()) == Transcript()


def test_of_a_huge_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = written(tmp_path, padding=10_000)

    monkeypatch.setattr(session_files, "MAX_BYTES", 2_000)
    assert seen(read_transcript(tmp_path, launch)) == ["msg_1", "msg_2"]
    monkeypatch.setattr(session_files, "MAX_BYTES", 250)
    assert read_transcript(tmp_path, launch) == Transcript()


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    launch = written(tmp_path)
    (tmp_path / "projects" / "-w" / SESSION / "subagents" / "agent-b.jsonl").mkdir()

    assert seen(read_transcript(tmp_path, launch)) == ["msg_1", "msg_2"]


async def test_a_rescan_reads_the_transcript_and_may_be_repeated(tmp_path: Path) -> None:
    launch = written(tmp_path)

    first, again = await asyncio.gather(*(rescan(launch, tmp_path, Usage()) for _ in range(2)))

    assert first == again == Correction(usage=used(200, 40, 1_200_000))
    assert await rescan(launch, tmp_path / "absent", Usage()) is None
