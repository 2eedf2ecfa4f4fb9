"""What a decision costs, by the number of subscriptions. No actor is asked for it."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from localpool import NOON
from reports import report_at, state

from pool.routing.ranking import RoutingPolicy, explained, rank
from pool.subscriptions.admission import Ask

ROUNDS = 200


def main() -> None:
    print(f"{'subscriptions':>14} {'rank and explain':>18} {'report of an owner':>19}")
    ask, policy = Ask(goes_on=False, reserve_usd=Decimal("0.25")), RoutingPolicy()
    for count in (1, 10, 50, 100, 500):
        states = [state(f"sub{n}", spent_usd=str(n % 80)) for n in range(count)]
        began = time.perf_counter()
        reports = [report_at(each) for each in states]
        made = (time.perf_counter() - began) / count
        began = time.perf_counter()
        for _ in range(ROUNDS):
            ranking = rank(reports, ask, policy, NOON)
            explained(ranking, ranking.usable[0].report.id, "")
        took = (time.perf_counter() - began) / ROUNDS
        print(f"{count:>14} {took * 1e6:>15.0f} us {made * 1e6:>16.0f} us")


if __name__ == "__main__":
    main()
