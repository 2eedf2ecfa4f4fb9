"""Money: integer nano-dollars inside, US dollars at the edges.

The CLI prints binary floats such as ``0.0006000000000000001``. They are rounded once, at the door,
to the nano-dollar (a thousandth of the cheapest thing sold, one cached Haiku token); every sum
after that is a sum of integers and cannot depend on its order.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated

from pydantic import PlainSerializer

NANO_PER_USD = 1_000_000_000

Usd = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""US dollars, exact to the nano-dollar; a JSON number (exact up to a million dollars)."""


def nano_usd(amount: Decimal | float | str) -> int:
    """Nano-dollars nearest to an amount of US dollars.

    A float is taken at its shortest decimal form, which is what the CLI meant to print.
    """
    exact = Decimal(str(amount)) * NANO_PER_USD
    return int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))


def usd(nano: int) -> Decimal:
    """US dollars of an amount of nano-dollars, without trailing zeros, never in exponent form."""
    amount = (Decimal(nano) / NANO_PER_USD).normalize()
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount
