"""Errors on their way from one process to another."""

from __future__ import annotations

import inspect
import pickle

import pytest

from pool import errors

ALL = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, errors.PoolError) and each is not errors.PoolError
]


@pytest.mark.parametrize("kind", ALL)
def test_an_error_is_rebuilt_as_it_was(kind: type[errors.PoolError]) -> None:
    names = list(inspect.signature(kind).parameters)
    error = kind(**{name: f"its {name}" for name in names})

    assert error.args == tuple(f"its {name}" for name in names)
    for again in (kind(*error.args), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == str(error)
