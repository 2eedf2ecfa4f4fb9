from __future__ import annotations

import os
from pathlib import Path

from pool.claude.process.idle.machine import Places, memory_bytes, resident_bytes


def test_a_place_is_had_once_until_it_is_given_back(tmp_path: Path) -> None:
    one, other = Places(tmp_path / "places", 2), Places(tmp_path / "places", 2)
    first, second = one.take(), other.take()
    assert first is not None
    assert second is not None

    assert one.take() is None
    os.close(second)
    third = one.take()

    assert third is not None
    os.close(first)
    os.close(third)


def test_where_there_is_no_place_none_is_had(tmp_path: Path) -> None:
    assert Places(tmp_path / "places", 0).take() is None


def test_the_machine_and_its_processes_have_sizes() -> None:
    assert memory_bytes() > resident_bytes(os.getpid()) > 1_000_000
    assert resident_bytes(2**30) == 0
