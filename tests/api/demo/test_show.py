from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from api.demo import show
from pool.config import check


class Bill:
    """A stand-in's bill that says a cost for each token."""

    def __init__(self, **by_token: int) -> None:
        self._costs = by_token

    def total(self, token: str) -> SimpleNamespace:
        return SimpleNamespace(cost_nano_usd=self._costs.get(token.replace("-", "_"), 0))


async def compared(
    monkeypatch: pytest.MonkeyPatch, recorded: Mapping[str, str]
) -> tuple[bool, str]:
    """The verdict where the bill is 1.5 dollars for ada and nothing for the others."""

    class Ledgers:
        async def recorded(self) -> dict[str, Decimal]:
            return {"ada": Decimal(0), "ben": Decimal(0), "cleo": Decimal(0)} | {
                subscription: Decimal(cost) for subscription, cost in recorded.items()
            }

    monkeypatch.setattr(show, "SETTLING_SECONDS", 0)
    standin: Any = SimpleNamespace(bill=Bill(test_token_a=1_500_000_000))
    shown: Any = Ledgers()
    console = Console(file=StringIO(), width=100)
    with console.capture() as captured:
        agreed = await show._compare(console, shown, standin)
    return agreed, captured.get()


async def test_equal_figures_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed, text = await compared(monkeypatch, {"ada": "1.5"})

    assert agreed
    assert "agree to the nano-dollar" in text


@pytest.mark.parametrize("recorded", [{"ada": "1.500000001"}, {"ada": "1.4", "ben": "0.1"}, {}])
async def test_a_nano_dollar_or_the_wrong_subscription_is_a_disagreement(
    monkeypatch: pytest.MonkeyPatch, recorded: dict[str, str]
) -> None:
    agreed, text = await compared(monkeypatch, recorded)

    assert not agreed
    assert "DISAGREE" in text


def test_the_made_up_tokens_are_set_for_the_show_alone(tmp_path: Path) -> None:
    config = show.configuration("http://127.0.0.1:1", tmp_path)

    with show._tokens_set():
        check(config, os.environ)

    assert not any(name.startswith("CLAUDE_POOL_DEMO") for name in os.environ)
