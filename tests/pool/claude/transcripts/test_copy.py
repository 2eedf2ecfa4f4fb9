"""Transcripts as CLI 2.1.330 leaves them, cut down to what a copy looks at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pool.claude.transcripts.copy import (
    MAX_COPY_BYTES,
    CopyRefused,
    SessionCopy,
    TranscriptGone,
    copy_session,
    install_session,
    remove_session,
)

SESSION = "11111111-1111-4111-8111-111111111111"
LIMIT_TEXT = "You've hit your 5-hour limit"


def entry(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sessionId": SESSION, **fields}


def turn(prompt: str, answer: dict[str, Any] | None, after: str | None) -> list[dict[str, Any]]:
    """What the CLI writes for a prompt, whose uuid is ``uuid-of-`` its text."""
    uuid = f"uuid-of-{prompt}"
    text = [{"type": "text", "text": prompt}]
    entries = [
        entry("queue-operation", operation="enqueue"),
        entry("queue-operation", operation="dequeue"),
        entry("user", uuid=uuid, parentUuid=after, message={"role": "user", "content": text}),
        entry("attachment", uuid=f"beside-{prompt}", parentUuid=uuid),
        entry("api-request-blob", content=prompt),
    ]
    if answer is not None:
        entries += [
            entry("assistant", uuid=f"answer-to-{prompt}", parentUuid=f"beside-{prompt}", **answer),
            entry("last-prompt", lastPrompt=prompt, leafUuid=f"answer-to-{prompt}"),
            entry("cost-state"),
        ]
    return entries


ANSWERED = {"message": {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}}
REFUSED = {
    "error": "rate_limit",
    "isApiErrorMessage": True,
    "apiErrorStatus": 429,
    "message": {"role": "assistant", "content": [{"type": "text", "text": LIMIT_TEXT}]},
}


def write(config_dir: Path, *entries: dict[str, Any]) -> Path:
    path = config_dir / "projects" / "-run-1" / f"{SESSION}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in entries), encoding="utf-8")
    return path


def prompts(copy: SessionCopy) -> list[str]:
    entries = [json.loads(line) for line in copy.files[0].data.splitlines()]
    return [each["message"]["content"][0]["text"] for each in entries if each["type"] == "user"]


def test_a_turn_that_hit_a_limit_is_left_out_with_what_the_cli_said_about_it(
    tmp_path: Path,
) -> None:
    first = turn("one", ANSWERED, None)
    write(tmp_path, *first, *turn("two", REFUSED, "answer-to-one"))

    copy = copy_session(tmp_path, SESSION, ["uuid-of-two"])

    assert prompts(copy) == ["one"]
    assert LIMIT_TEXT.encode() not in copy.files[0].data
    assert copy.files[0].data.startswith(
        "".join(json.dumps(each) + "\n" for each in first).encode()
    )


def test_several_failed_turns_are_left_out_and_one_that_was_cut_short_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        *turn("one", ANSWERED, None),
        *turn("two", REFUSED, "answer-to-one"),
        *turn("three", None, "answer-to-two"),
    )

    assert prompts(copy_session(tmp_path, SESSION, ["uuid-of-three", "uuid-of-two"])) == ["one"]


def test_without_failed_turns_the_copy_is_the_transcript(tmp_path: Path) -> None:
    path = write(tmp_path, *turn("one", ANSWERED, None))

    copy = copy_session(tmp_path, SESSION, ["uuid-of-another"])

    assert copy.files[0].data == path.read_bytes()
    assert copy.files[0].path == f"-run-1/{SESSION}.jsonl"


def test_a_prompt_that_speaks_of_the_failed_ones_uuid_is_kept(tmp_path: Path) -> None:
    first = turn("one uuid-of-two", ANSWERED, None)
    write(tmp_path, *first, *turn("two", REFUSED, "answer-to-one uuid-of-two"))

    assert prompts(copy_session(tmp_path, SESSION, ["uuid-of-two"])) == ["one uuid-of-two"]


def test_a_session_of_which_no_turn_was_answered_is_not_copied(tmp_path: Path) -> None:
    write(tmp_path, *turn("one", REFUSED, None))

    with pytest.raises(TranscriptGone, match="no turn of it has been answered"):
        copy_session(tmp_path, SESSION, ["uuid-of-one"])


def test_an_absent_session_and_one_that_is_too_large_are_not_copied(tmp_path: Path) -> None:
    with pytest.raises(TranscriptGone, match="not there any more"):
        copy_session(tmp_path, SESSION)

    with write(tmp_path, *turn("one", ANSWERED, None)).open("ab") as file:
        file.truncate(MAX_COPY_BYTES + 1)
    with pytest.raises(CopyRefused, match="larger than"):
        copy_session(tmp_path, SESSION)


def test_what_subagents_did_comes_along(tmp_path: Path) -> None:
    path = write(tmp_path / "a", *turn("one", ANSWERED, None))
    beside = path.with_suffix("") / "subagents" / "agent-1.jsonl"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(b"{}\n")

    install_session(tmp_path / "b", copy_session(tmp_path / "a", SESSION))

    assert (tmp_path / "b" / beside.relative_to(tmp_path / "a")).read_bytes() == b"{}\n"


def test_an_installed_copy_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    old = tmp_path / "b" / "projects" / "-run-0" / f"{SESSION}.jsonl"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"older\n")
    write(tmp_path / "a", *turn("one", ANSWERED, None))

    install_session(tmp_path / "b", copy_session(tmp_path / "a", SESSION))

    assert not old.exists()
    assert prompts(copy_session(tmp_path / "b", SESSION)) == ["one"]


@pytest.mark.parametrize(
    "damage",
    [
        {"data": b"changed on the way"},
        {"path": f"../{SESSION}.jsonl"},
        {"path": f"/etc/{SESSION}.jsonl"},
        {"path": "-run-1/22222222-2222-4222-8222-222222222222.jsonl"},
    ],
)
def test_a_damaged_copy_or_one_that_points_outside_installs_nothing(
    tmp_path: Path, damage: dict[str, Any]
) -> None:
    write(tmp_path / "a", *turn("one", ANSWERED, None))
    copy = copy_session(tmp_path / "a", SESSION)
    bad = copy.model_copy(update={"files": (copy.files[0].model_copy(update=damage),)})

    with pytest.raises(CopyRefused):
        install_session(tmp_path / "b", bad)

    assert not (tmp_path / "b").exists()


def test_a_removed_session_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, *turn("one", ANSWERED, None))
    beside = path.with_suffix("") / "subagents"
    beside.mkdir(parents=True)
    (beside / "agent-1.jsonl").write_bytes(b"{}\n")

    remove_session(tmp_path, SESSION)

    assert [each for each in path.parent.rglob("*") if each.is_file()] == []
