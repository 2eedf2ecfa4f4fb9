from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from click.testing import Result

Cli = Callable[..., Awaitable[Result]]


async def test_every_node_has_a_line(cli: Cli) -> None:
    result = await cli("nodes")

    words = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "node-of-the-tests host1 127.0.0.1 alive 0 0" in words


async def test_json_prints_what_the_service_answers(cli: Cli) -> None:
    result = await cli("nodes", "--json")

    assert [each["id"] for each in json.loads(result.stdout)["items"]] == ["node-of-the-tests"]
