from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.launch.command import prompt_uuid
from pool.claude.launch.launch_spec import Launch
from pool.claude.transcripts.copy import copy_session, install_session
from pool.claude.transcripts.external_files import ExternalFiles
from pool.claude.transcripts.external_usage import ExternalAnswer, ExternalUsageReader, is_pools
from pool.usage.records import ModelUsage
from pool.values import instant_text
from tests.support.values.examples import NOON, SONNET

Entry = dict[str, Any]
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
WEEK_AGO = NOON - timedelta(days=7)


def of_the_pool(run_id: str = "exec_1", prompt_id: str = "p1") -> Entry:
    launch = Launch(
        run_id=run_id,
        prompt="x",
        session_id=SESSION,
        resumes=False,
        model=SONNET,
        timeout_seconds=1,
    )
    uuid = prompt_uuid(launch)
    return {"type": "user", "uuid": uuid, "promptId": prompt_id, "promptSource": "sdk"}


def of_somebody(prompt_id: str = "p2") -> Entry:
    return {"type": "user", "uuid": str(uuid4()), "promptId": prompt_id, "promptSource": "typed"}


def of_a_subagent(prompt_id: str) -> Entry:
    return {"type": "user", "uuid": str(uuid4()), "promptId": prompt_id, "isSidechain": True}


def a_tool_result() -> Entry:
    return {"type": "user", "uuid": str(uuid4()), "toolUseResult": {}}


def answer(id_: str = "1", output_tokens: int = 20, **more: Any) -> Entry:
    usage = {"input_tokens": 100, "output_tokens": output_tokens}
    return {
        "type": "assistant",
        "timestamp": instant_text(NOON),
        "sessionId": SESSION,
        "requestId": f"req_{id_}",
        "requestedModel": SONNET,
        "message": {"id": f"msg_{id_}", "model": f"{SONNET}-20250929", "usage": usage},
        **more,
    }


def lines(*entries: Entry) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def read(*entries: Entry) -> list[str]:
    reader = ExternalUsageReader(set())
    found = [reader.take(line) for line in lines(*entries).splitlines()]
    return [seen.sighting.message_id for seen in found if seen is not None]


def test_the_pools_own_runs_are_not_beside_it() -> None:
    assert read(of_the_pool(), answer("1"), a_tool_result(), answer("2")) == []


def test_what_somebody_asks_in_a_session_of_his_own_is() -> None:
    assert read(of_somebody(), answer("1"), a_tool_result(), answer("2")) == ["msg_1", "msg_2"]


def test_whoever_goes_on_in_a_session_of_the_pool_is_told_apart() -> None:
    seen = read(
        *(of_somebody("p0"), answer("0")),
        *(of_the_pool(), answer("1")),
        *(of_somebody("p2"), answer("2")),
        *(of_the_pool("exec_2", "p3"), answer("3")),
    )

    assert seen == ["msg_0", "msg_2"]


def test_an_answer_tells_its_time_model_and_counts() -> None:
    seen = ExternalUsageReader(set()).take(lines(answer()))

    assert seen is not None
    assert (seen.at, seen.session_id) == (NOON, SESSION)
    assert (seen.sighting.model, seen.sighting.usage) == (
        SONNET,
        ModelUsage(input_tokens=100, output_tokens=20),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": None},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-01-28T12:00:00"},
        {"message": None},
        {"message": {"id": "m", "model": "<synthetic>"}},
    ],
)
def test_what_has_no_time_or_was_not_billed_is_passed_over(changes: Entry) -> None:
    assert read(answer(**changes)) == []


@given(st.binary(max_size=60))
def test_any_line_can_be_read(line: bytes) -> None:
    ExternalUsageReader(set()).take(line)


def test_only_a_derived_uuid_is_the_pools() -> None:
    assert is_pools(str(uuid5(uuid4(), "x")))
    assert not is_pools(str(uuid4()))
    assert not is_pools("no uuid")
    assert not is_pools(None)


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    path = tmp_path / "projects" / "-home-user" / f"{SESSION}.jsonl"
    path.parent.mkdir(parents=True)
    return path


def write(path: Path, *entries: Entry, mode: str = "ab") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode) as file:
        file.write(lines(*entries))
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))


def ids(found: tuple[ExternalAnswer, ...]) -> list[str]:
    return [seen.sighting.message_id for seen in found]


def test_a_file_is_read_as_it_grows(tmp_path: Path, transcript: Path) -> None:
    files = ExternalFiles()
    write(transcript, of_somebody(), answer("1"))
    first = files.read(tmp_path, WEEK_AGO)
    again = files.read(tmp_path, WEEK_AGO)
    write(transcript, answer("2"))
    then = files.read(tmp_path, WEEK_AGO)

    assert (ids(first), ids(again), ids(then)) == (["msg_1"], [], ["msg_2"])


def test_a_line_that_is_still_written_is_left_for_later(tmp_path: Path, transcript: Path) -> None:
    files = ExternalFiles()
    whole = lines(answer("1"))
    transcript.write_bytes(whole[:40])
    os.utime(transcript, (NOON.timestamp(), NOON.timestamp()))
    torn = files.read(tmp_path, WEEK_AGO)
    with transcript.open("ab") as file:
        file.write(whole[40:])

    assert (ids(torn), ids(files.read(tmp_path, WEEK_AGO))) == ([], ["msg_1"])


def test_whose_turn_it_was_is_remembered_between_readings(tmp_path: Path, transcript: Path) -> None:
    files = ExternalFiles()
    write(transcript, of_the_pool())
    files.read(tmp_path, WEEK_AGO)
    write(transcript, answer("1"))

    assert ids(files.read(tmp_path, WEEK_AGO)) == []


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path, transcript: Path) -> None:
    files = ExternalFiles()
    write(transcript, of_the_pool(), answer("1"), answer("2"))
    files.read(tmp_path, WEEK_AGO)
    write(transcript, of_somebody(), mode="wb")
    write(transcript, answer("3"))

    assert ids(files.read(tmp_path, WEEK_AGO)) == ["msg_3"]


def test_subagents_belong_to_the_prompt_that_set_them_off(tmp_path: Path, transcript: Path) -> None:
    agents = transcript.with_suffix("") / "subagents"
    write(transcript, of_the_pool(prompt_id="p1"), of_somebody("p2"))
    write(agents / "agent-a.jsonl", of_a_subagent("p1"), answer("1"))
    write(agents / "agent-b.jsonl", of_a_subagent("p2"), answer("2"))

    assert ids(ExternalFiles().read(tmp_path, WEEK_AGO)) == ["msg_2"]


def test_what_is_older_is_not_read(tmp_path: Path, transcript: Path) -> None:
    old = instant_text(NOON - timedelta(days=8))
    write(transcript, answer("1", timestamp=old), answer("2"))
    unused = transcript.with_name("0b6f1c9e-8f35-4b0e-8b4b-0d5c2f6a7e11.jsonl")
    write(unused, answer("3"))
    os.utime(unused, (WEEK_AGO.timestamp() - 1,) * 2)

    assert ids(ExternalFiles().read(tmp_path, WEEK_AGO)) == ["msg_2"]


def test_what_cannot_be_read_says_nothing(tmp_path: Path, transcript: Path) -> None:
    transcript.mkdir()
    os.mkfifo(transcript.with_name("pipe.jsonl"))
    os.utime(transcript, (NOON.timestamp(), NOON.timestamp()))

    assert ExternalFiles().read(tmp_path, WEEK_AGO) == ()
    assert ExternalFiles().read(tmp_path / "nowhere", WEEK_AGO) == ()


def test_one_reading_is_bounded_and_the_next_goes_on(
    tmp_path: Path, transcript: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pool.claude.transcripts import external_files as beside_files

    monkeypatch.setattr(beside_files, "MAX_BYTES_AT_ONCE", 1)
    write(transcript, answer("1"), answer("2"))
    files = ExternalFiles()

    assert ids(files.read(tmp_path, WEEK_AGO)) == ["msg_1"]
    assert ids(files.read(tmp_path, WEEK_AGO)) == ["msg_2"]


def test_what_the_pool_has_copied_here_was_answered_elsewhere(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    place = Path("projects") / "-home-user" / f"{SESSION}.jsonl"
    agent = place.with_suffix("") / "subagents" / "agent-a.jsonl"
    write(there / place, of_somebody("p2"), answer("1"))
    write(there / agent, of_a_subagent("p2"), answer("2"))

    install_session(here, copy_session(there, SESSION))
    write(here / place, answer("3"))
    write(here / agent, answer("4"))

    assert ids(ExternalFiles().read(there, WEEK_AGO)) == ["msg_1", "msg_2"]
    assert ids(ExternalFiles().read(here, WEEK_AGO)) == ["msg_3", "msg_4"]
