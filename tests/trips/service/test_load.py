"""`make load`, in short: real Ray, the real HTTP server, a CLI that answers at once."""

from __future__ import annotations

import pytest

from tests.support.services.load import Tally, run
from tests.support.services.shared_pool import SharedPool

pytestmark = pytest.mark.timeout(240)


async def test_many_clients_at_once_are_served_or_refused_as_documented(
    awkward: SharedPool,
) -> None:
    with awkward.service.client() as http:  # which wakes a subscription
        assert http.post("/v1/executions", json={"prompt": "say yes"}).status_code == 200

    tally = await run(awkward.service, clients=20, seconds=2)

    assert not tally.violations
    assert tally.seconds
    assert {name.partition(" ")[0] for name in tally.rss_mib} == {
        "server",
        "RouterShell",
        "SubscriptionShell",
    }


def test_memory_that_grows_is_seen() -> None:
    flat, growing = [100.0] * 40, [100.0 + n for n in range(40)]

    growth = Tally(rss_mib={"server": flat, "router": growing}).growth()

    assert growth["server"] == 1
    assert growth["router"] > 1.15
