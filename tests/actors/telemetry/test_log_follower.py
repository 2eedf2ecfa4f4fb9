from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from actors.telemetry import log_stream
from actors.telemetry.log_follower import LogFollower
from actors.telemetry.log_relay import relayed
from actors.telemetry.log_stream import LogFile, stream_of


def line(event: str, second: int) -> bytes:
    return json.dumps({"event": event, "time": f"2026-01-28T12:00:{second:02}.000Z"}).encode()


def events(lines: list[bytes]) -> list[str]:
    return [json.loads(each)["event"] for each in lines]


def stream(folder: Path, name: str) -> LogFile:
    return LogFile(stream_of(folder, name), pytest.fail)


def test_the_last_lines_of_all_streams_come_by_their_times_and_then_what_is_new(
    tmp_path: Path,
) -> None:
    router, sub1 = stream(tmp_path, "router"), stream(tmp_path, "subscription:sub1")
    for n in range(0, 10, 2):
        router(line(f"r{n}", n) + b"\n")
        sub1(line(f"s{n + 1}", n + 1) + b"\n")
    follower = LogFollower(tmp_path / "logs")

    last = follower.last(3)
    router(line("r11", 11) + b"\n")
    sub1(line("s10", 10) + b"\n")
    stream(tmp_path, "subscription:sub2")(line("new", 12) + b"\n")

    assert events(last) == ["s7", "r8", "s9"]
    assert events(follower.new()) == ["s10", "r11", "new"]
    assert follower.new() == []


def test_of_a_line_that_has_no_end_yet_nothing_comes_until_it_has(tmp_path: Path) -> None:
    router = stream(tmp_path, "router")
    router(b"")
    follower = LogFollower(tmp_path / "logs")
    follower.last(0)
    whole = line("whole", 1)

    router(whole[:20])
    assert follower.new() == []
    router(whole[20:] + b"\n")

    assert events(follower.new()) == ["whole"]


def test_nothing_is_lost_and_nothing_comes_twice_where_a_stream_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_stream, "MAX_FILE_BYTES", 500)
    router = stream(tmp_path, "router")
    follower, found = LogFollower(tmp_path / "logs"), list[str]()
    follower.last(0)

    for n in range(60):
        router(line(str(n), n % 60) + b"\n")
        if n % 4 == 3:
            found += events(follower.new())

    assert found == [str(n) for n in range(60)]


def eventually(lines: list[bytes], count: int) -> list[str]:
    deadline = time.monotonic() + 10
    while len(lines) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)
    return events(lines)


def test_a_service_passes_on_what_actors_say_from_its_start_on_and_what_no_service_says(
    tmp_path: Path,
) -> None:
    router, serves = stream(tmp_path, "router"), stream(tmp_path, "serve-8600")
    router(line("before", 1) + b"\n")
    passed: list[bytes] = []

    with relayed(tmp_path / "logs", passed.append):
        serves(line("of the service", 2) + b"\n")
        router(line("one", 3) + b"\n")
        eventually(passed, 1)
        router(line("the last", 4) + b"\n")

    assert events(passed) == ["one", "the last"]


def test_of_two_services_one_passes_them_on_and_the_other_after_it(tmp_path: Path) -> None:
    router, first, second = stream(tmp_path, "router"), list[bytes](), list[bytes]()
    with relayed(tmp_path / "logs", first.append):
        with relayed(tmp_path / "logs", second.append):
            router(line("one", 1) + b"\n")
            eventually(first, 1)
        router(line("two", 2) + b"\n")
        eventually(first, 2)
    with relayed(tmp_path / "logs", second.append):
        router(line("three", 3) + b"\n")
        eventually(second, 1)

    assert (events(first), events(second)) == (["one", "two"], ["three"])


def test_what_was_passed_on_by_a_service_that_ends_is_not_by_the_one_after_it(
    tmp_path: Path,
) -> None:
    router, first, second = stream(tmp_path, "router"), list[bytes](), list[bytes]()
    with relayed(tmp_path / "logs", first.append):
        waiting = relayed(tmp_path / "logs", second.append)
        waiting.__enter__()
        router(line("one", 1) + b"\n")
        eventually(first, 1)
    deadline = time.monotonic() + 10
    while not second:  # it looks again and again whether it is its turn
        router(line("two", 2) + b"\n")
        time.sleep(0.05)
        assert time.monotonic() < deadline
    waiting.__exit__(None, None, None)

    assert (events(first), set(events(second))) == (["one"], {"two"})
