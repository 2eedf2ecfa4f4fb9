"""What the CLI puts over the body of its requests to the API: a JSON object in its environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

EXTRA_BODY = "CLAUDE_CODE_EXTRA_BODY"


def extra_body(environment: Mapping[str, str], more: Mapping[str, Any]) -> dict[str, str]:
    """The variable with some fields more; none where there are none. What the operator has set
    stays, and what is no JSON object counts as nothing.
    """
    if not more:
        return {}
    body = {**_object(environment.get(EXTRA_BODY)), **more}
    return {EXTRA_BODY: json.dumps(body, separators=(",", ":"))}


def _object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
