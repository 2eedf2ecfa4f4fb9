"""What is found out of a Ray before it is joined. Real Ray is in ``tests/trips``."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.runtime import cluster
from pool.errors import ConfigError

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Something that takes connections, and answers each with this; with None it is frozen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(answer or b"")

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.2)


def test_what_speaks_as_grpc_does_answers() -> None:
    with listening(SETTINGS + b"and more") as address:
        assert cluster.answers(address)


@pytest.mark.parametrize(
    "answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["frozen", "closes", "http"]
)
def test_anything_else_does_not(answer: bytes | None) -> None:
    with listening(answer) as address:
        assert not cluster.answers(address)


def test_a_port_where_nobody_listens_does_not() -> None:
    with listening(None) as address:
        pass

    assert not cluster.answers(address)


def test_what_does_not_answer_is_told_before_ray_tries_for_minutes() -> None:
    began = time.monotonic()

    with listening(None) as address, pytest.raises(ConfigError, match="no Ray answers at"):
        cluster.join(address, "claude-pool")

    assert time.monotonic() - began < 2


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match=r"ray\.address"):
        cluster.join("not an address", "claude-pool")


def test_ray_is_started_with_the_settings_of_a_pool_but_for_those_that_an_operator_has_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    niceness, *others = sorted(cluster.SETTINGS, key=lambda name: name != "RAY_worker_niceness")
    for name in others:
        monkeypatch.setenv(name, "")  # to be taken away again
        monkeypatch.delenv(name)
    monkeypatch.setenv(niceness, "5")
    started: dict[str, str] = {}

    def init(**_: Any) -> None:
        started.update(os.environ)

    here = SimpleNamespace(gcs_address="127.0.0.1:1")
    monkeypatch.setattr(cluster, "ensure_token", lambda *_: None)
    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "get_runtime_context", lambda: here)
    cluster.start("claude-pool", tmp_path)

    assert started[niceness] == "5"
    assert {name: started.get(name) for name in others} == {
        name: cluster.SETTINGS[name] for name in others
    }
