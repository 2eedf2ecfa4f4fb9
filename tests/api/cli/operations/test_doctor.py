from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.main import app
from api.server import checkup
from api.server.checkup import Finding


@pytest.mark.parametrize(("level", "exit_code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_only_a_problem_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, level: str, exit_code: int
) -> None:
    async def examine(path: Path, environ: dict[str, str]) -> list[Finding]:
        return [Finding(level, "claude", f"looked at for {path}")]  # type: ignore[arg-type]

    monkeypatch.setattr(checkup, "examine", examine)

    result = CliRunner().invoke(app, ["doctor", "--config", "x.toml"])

    assert result.exit_code == exit_code
    assert f"{level}  claude  looked at for x.toml" in result.stdout


def test_a_missing_file_is_told_with_a_remedy(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "pool.toml")])

    assert result.exit_code == 1
    assert "pool.example.toml" in result.stdout
