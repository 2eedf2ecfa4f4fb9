"""Prints what a simulated week did under each order of the subscriptions, as a table; its figures
stand in deploy/routing.md.

``python tests/simulation/report.py [subscriptions] [seed]``: ten subscriptions and seed 1, unless
it says so.
"""

from __future__ import annotations

import sys
import time


def main(subscriptions: int = 10, seed: int = 1) -> None:
    from tests.support.simulation.orders import OrderName
    from tests.support.simulation.traffic import SHAPES, week_of
    from tests.support.simulation.world import World, figures

    began = time.perf_counter()
    sys.stdout.write(
        "| shape | order | requests | answered | refused with headroom | over-admitted | spread at "
        "the end | spread over the week | mean wait | attempts | sessions moved |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    cautious: dict[str, dict[str, int]] = {}
    for shape in SHAPES.values():
        for order in OrderName:
            found = figures(World(week_of(shape, subscriptions, seed), order).run())
            if order is OrderName.HEALTHIEST and found.cautious:
                cautious[shape.name] = found.cautious
            sys.stdout.write(
                f"| {shape.name} | {order} | {found.requests} | {found.answered:.1%} "
                f"| {found.refused_with_headroom} | {found.over_admissions} "
                f"| {found.end.deviation:.1f} ({found.end.range:.0f}) "
                f"| {found.mean.deviation:.1f} ({found.mean.range:.0f}) "
                f"| {found.mean_wait_seconds:.1f} s | {found.attempts:.3f} | {found.moves} |\n"
            )
            sys.stdout.flush()
    sys.stdout.write(
        f"\n{subscriptions} subscriptions, seed {seed}, {time.perf_counter() - began:.0f} s.\n"
    )
    for name, causes in cautious.items():
        told = ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items()))
        sys.stdout.write(f"Refused though a true window had room, {name}: {told}.\n")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:3]))
