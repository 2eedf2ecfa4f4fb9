from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest

from pool.claude.process.supervisor.events import Directory


def test_where_a_directory_cannot_be_watched_it_is_looked_at_every_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(fcntl, "fcntl", refused)
    directory, began = Directory(str(tmp_path)), time.monotonic()

    assert directory.wait(30) is False

    assert time.monotonic() - began < 5
