"""How many examples of a property are tried: some in ``make test``, many in ``make fuzz``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IS_FULL = os.environ.get("FUZZ") == "full"


def examples(some: int, many: int) -> int:
    return many if IS_FULL else some


def load_profile() -> None:
    """For all properties: a machine that is busy with other tests is no failure of theirs."""
    settings.register_profile(
        "pool",
        max_examples=examples(25, 2000),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("pool")
