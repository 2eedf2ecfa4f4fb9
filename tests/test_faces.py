"""The import paths that are promised to programs."""

import subprocess
import sys

import pytest

import actors
import pool
from actors import BlockingPoolClient, PoolClient, connect
from pool import Execution, ExecutionRequest, errors


def test_a_program_imports_its_client_and_its_values_from_two_names() -> None:
    assert [each.__name__ for each in (connect, PoolClient, BlockingPoolClient)] == [
        "connect",
        "PoolClient",
        "BlockingPoolClient",
    ]
    assert ExecutionRequest(prompt="Hi").prompt == "Hi"
    assert issubclass(errors.Exhausted, errors.PoolError)
    assert Execution.__name__ in pool.__all__


def test_every_name_of_a_face_is_there_and_no_other() -> None:
    assert [getattr(actors, name).__name__ for name in actors.__all__] == actors.__all__
    with pytest.raises(AttributeError, match="no attribute 'Router'"):
        actors.Router  # noqa: B018


def test_who_only_names_values_does_not_load_ray() -> None:
    lines = (
        "import sys, pool, actors; from pool import ExecutionRequest; print('ray' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
