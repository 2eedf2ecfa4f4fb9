from __future__ import annotations

import os
from pathlib import Path

import pytest

from pool.claude.launch.image_store import occupy


def test_the_place_is_a_file_that_only_the_owner_reaches(tmp_path: Path) -> None:
    work = tmp_path / "a_work.dir"
    work.mkdir()
    (tmp_path / "link").symlink_to(work)

    occupy(tmp_path, tmp_path / "link", "634fbb1e")

    (place,) = tmp_path.glob("claude-*/*/634fbb1e/images")
    assert place.is_file()
    assert place.parent.parent.name.endswith("-a-work-dir")
    assert place.parent.parent.parent.name == f"claude-{os.getuid()}"
    assert {each.stat().st_mode & 0o777 for each in place.parents[:3]} == {0o700}


def test_a_session_that_goes_on_finds_it_there_already(tmp_path: Path) -> None:
    occupy(tmp_path, tmp_path, "634fbb1e")
    occupy(tmp_path, tmp_path, "634fbb1e")

    with pytest.raises(FileExistsError):
        next(tmp_path.glob("claude-*/*/634fbb1e/images")).mkdir()
