"""Variables with which the real CLI costs less where it lives for a second, and does the same."""

from __future__ import annotations

BRIEF = {
    "BUN_JSC_useDFGJIT": "0",
    "BUN_JSC_useConcurrentGC": "0",
    "BUN_JSC_numberOfGCMarkers": "1",
}
"""Its runtime optimizes and collects in threads beside it, which pays for whoever stays for long:
without them a run takes a tenth less of a core (2.1.330). What measures the CLI goes without.
"""


def brief(api_url: str) -> dict[str, str]:
    """What a CLI that asks a stand-in for the API is told."""
    return {"ANTHROPIC_BASE_URL": api_url, **BRIEF}
