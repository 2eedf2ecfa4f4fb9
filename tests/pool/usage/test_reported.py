from __future__ import annotations

from pool.usage.reported import ReportedUsage


def test_reported_names_can_be_kept_by_every_store() -> None:
    reported = ReportedUsage.model_validate(
        {"id": "a\0", "models": {"claude\ud83d": {"cost_usd": "0.5"}}}
    )

    assert reported.id == "a\ufffd"
    assert list(reported.models) == ["claude\ufffd"]
