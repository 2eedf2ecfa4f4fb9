"""The official SDKs, each loaded by the first test that asks for something of it: they take some
two seconds of a core, and every worker collects the tests that few of them run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Sdk:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked by pytest, of all that a module has
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


anthropic: Any = Sdk("anthropic")
openai: Any = Sdk("openai")
