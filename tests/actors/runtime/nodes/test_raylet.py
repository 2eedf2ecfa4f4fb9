from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.runtime.nodes.raylet import Raylet


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """As one that is frozen does, too: nobody takes the connections."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        yield


def test_a_raylet_is_there_for_as_long_as_it_listens(tmp_path: Path) -> None:
    path = tmp_path / "raylet"
    with listening(path):
        raylet = Raylet(path)
        looks = [raylet.is_there() for _ in range(4)]

    assert looks == [True] * 4
    assert not raylet.is_there()


def test_another_one_in_its_place_is_not_it(tmp_path: Path) -> None:
    path = tmp_path / "raylet"
    with listening(path):
        raylet = Raylet(path)
    with listening(path):
        assert not raylet.is_there()
        assert Raylet(path).is_there()


def test_one_whose_socket_is_gone_is_not_there(tmp_path: Path) -> None:
    assert not Raylet(tmp_path / "raylet").is_there()
