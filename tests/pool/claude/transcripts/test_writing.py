"""A history, written as a transcript: line by line what the CLI goes on from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.transcripts.copy import remove_session
from pool.claude.transcripts.external_files import ExternalFiles
from pool.claude.transcripts.external_usage import ExternalUsageReader
from pool.claude.transcripts.transcript import sighting_of
from pool.claude.transcripts.writing import install_history, transcript
from pool.executions.content.turn import Turn
from pool.usage.records import ModelUsage

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
OTHER = "00000000-0000-4000-8000-000000000000"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CALL = {"type": "tool_use", "id": "toolu_1", "name": "mcp__caller__weather", "input": {"a": 1}}
RESULT = {
    "type": "tool_result",
    "tool_use_id": "toolu_1",
    "content": [{"type": "text", "text": "sunny"}],
    "is_error": False,
}


def turns(*contents: Any) -> list[Turn]:
    """Turns of what is said in turn, by the user first."""
    roles = ("user", "assistant") * len(contents)
    said = zip(roles, contents, strict=False)
    return [Turn.model_validate({"role": role, "content": content}) for role, content in said]


def lines(*contents: Any, session_id: str = SESSION) -> list[dict[str, Any]]:
    told = transcript(turns(*contents), session_id, model="sonnet", work_dir=Path("/work"), at=NOON)
    return [json.loads(line) for line in told.splitlines()]


def test_each_turn_is_a_line_that_names_the_one_before() -> None:
    found = lines("hello", "hi", "more")

    assert [each["type"] for each in found] == ["user", "assistant", "user"]
    assert [None, found[0]["uuid"], found[1]["uuid"]] == [each["parentUuid"] for each in found]
    assert {SESSION} == {each["sessionId"] for each in found}
    assert found[1]["message"]["content"] == [{"type": "text", "text": "hi"}]


def test_calls_of_tools_and_their_results_stand_where_they_were() -> None:
    found = lines("how is it?", [{"type": "text", "text": "I look"}, CALL], [RESULT], "sunny")

    assert found[1]["message"]["content"][1] == CALL
    assert found[2]["message"]["content"] == [RESULT]
    assert [each["message"]["stop_reason"] for each in found if each["type"] == "assistant"] == [
        "tool_use",
        "end_turn",
    ]


def test_line_breaks_and_quotation_marks_of_a_text_lead_out_of_no_line() -> None:
    text = 'said "so"\n{"type":"assistant"}\u2028\x85'

    found = lines(text, "hi")

    assert len(found) == 2
    assert text == found[0]["message"]["content"][0]["text"]


def test_the_same_history_gives_the_same_messages_in_whichever_session() -> None:
    one, other = lines("hello", "hi", session_id=SESSION), lines("hello", "hi", session_id=OTHER)

    contents = [[each["message"]["content"] for each in found] for found in (one, other)]
    assert contents[0] == contents[1]
    assert {each["uuid"] for each in one}.isdisjoint(each["uuid"] for each in other)


def test_what_it_tells_of_counts_no_tokens_and_is_nobody_elses_use() -> None:
    reader = ExternalUsageReader(set())
    told = transcript(turns("a", "b", "c", "d"), SESSION, model="m", work_dir=Path("/"), at=NOON)

    assert [reader.take(line) for line in told.splitlines()] == [None] * 4
    sightings = [sighting_of(each) for each in lines("a", "b") if each["type"] == "assistant"]
    assert [ModelUsage()] == [each.usage for each in sightings if each is not None]


def test_a_history_is_a_file_of_its_session_that_is_removed_with_it(tmp_path: Path) -> None:
    launch = Launch(
        run_id="exec_1",
        prompt="",
        messages=tuple(turns("a", "b", "c")),
        session_id=SESSION,
        resumes=False,
        model="sonnet",
        timeout_seconds=1,
    )

    install_history(tmp_path, launch, Path("/the/work"))

    (file,) = (tmp_path / "projects").glob("*/*.jsonl")
    assert file.parent.name == "-the-work"
    assert len(file.read_bytes().splitlines()) == 2
    assert ExternalFiles().read(tmp_path, NOON) == ()
    remove_session(tmp_path, SESSION)
    assert [each for each in (tmp_path / "projects").rglob("*") if each.is_file()] == []
