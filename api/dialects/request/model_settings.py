"""Settings of the model, from the words of either API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_EFFORTS = {"minimal": "low"}
"""Of OpenAI's what Anthropic's API does not know."""
_NO_EFFORT = "none"


def settings(stops: Iterable[str] | None = None, **asked: Any) -> dict[str, Any]:
    """``model_settings`` of a request. What says as much as nothing is left out: it would have a
    process started for it, and Anthropic's API takes a temperature of 1 beside ``top_p`` for two.
    """
    for name in ("temperature", "top_p"):
        if asked.get(name) == 1:
            asked[name] = None
    found = {name: value for name, value in asked.items() if value is not None}
    sequences = [stop for stop in stops or () if stop.strip()]
    return {**found, **({"stop_sequences": sequences} if sequences else {})}


def own_stops(stops: Iterable[str] | None) -> tuple[str, ...]:
    """The stop sequences that Anthropic's API does not take, for there is but space in them: the
    answer is cut there by the pool.
    """
    return tuple(stop for stop in stops or () if not stop.strip())


def effort(asked: str | None) -> dict[str, Any]:
    """The settings that an effort in OpenAI's words comes to."""
    if asked == _NO_EFFORT:
        return {"thinking": {"type": "disabled"}}
    return {} if asked is None else {"effort": _EFFORTS.get(asked, asked)}
