"""Many clients at once, for a while: `make load`.

Ends with status 1 where an answer is neither the execution nor a refusal that the document knows,
or where the memory of the server, the router or a subscription still grows in the last quarter.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.support.services.load import loaded_service, run

CLIENTS, SECONDS = 200, 60
MOST_GROWTH = 1.10
"""Of a process's memory, from the second quarter of the time to the last."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, loaded_service(Path(folder)) as service:
        tally = asyncio.run(run(service, CLIENTS, SECONDS))
    for name, growth in tally.growth().items():
        if growth > MOST_GROWTH:
            tally.violations[f"the memory of {name} grew by {growth - 1:.0%}"] += 1
    print(f"{CLIENTS} clients", *tally.lines(), sep="\n")
    return 1 if tally.violations or not tally.seconds else 0


if __name__ == "__main__":
    sys.exit(main())
