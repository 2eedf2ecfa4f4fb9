"""What a process of the pool loads: there are as many as there are subscriptions."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
import actors.runtime.serving
from actors.runtime.factory import makers
print(*sys.modules)
import actors.runtime.factory.subscription
print(*sys.modules)
"""
UNUSED = ("asyncpg", "fastapi", "httpx", "rich", "actors.reconciler", "actors.router")


def _are_of(modules: set[str], packages: tuple[str, ...]) -> set[str]:
    return {each for each in modules if each.startswith(packages)}


def test_each_actor_loads_what_it_is_made_of_and_nothing_of_the_others() -> None:
    told = subprocess.run([sys.executable, "-c", LOADED], check=True, stdout=subprocess.PIPE)

    service, subscription = (set(line.decode().split()) for line in told.stdout.splitlines())
    assert _are_of(service, (*UNUSED, "actors.subscription")) == set()
    assert _are_of(subscription, UNUSED) == set()
    assert "actors.subscription.subscription" in subscription
