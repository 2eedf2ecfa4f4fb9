from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from actors.telemetry.log_stream import LogFile, stream_of
from api.main import app


def written(folder: Path, name: str, *events: str) -> None:
    file = LogFile(stream_of(folder / "data", name), print)
    for event in events:
        file(json.dumps({"event": event, "time": event}).encode() + b"\n")


def configured(folder: Path) -> Path:
    path = folder / "pool.toml"
    path.write_text('[pool]\ndata_dir = "data"\n', encoding="utf-8")
    return path


def test_it_prints_the_last_lines_of_all_processes_and_follows_them(tmp_path: Path) -> None:
    written(tmp_path, "serve-8600", "1", "3")
    written(tmp_path, "router", "2", "4")
    command = "from api.main import app; app()"

    with subprocess.Popen(
        [sys.executable, "-c", command, "logs", "--config", str(configured(tmp_path)), "-n", "3"],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as following:
        assert following.stdout is not None
        last = [following.stdout.readline() for _ in range(3)]
        written(tmp_path, "subscription:sub1", "5")
        new = following.stdout.readline()
        following.send_signal(2)
        code = following.wait(10)

    assert [json.loads(line)["event"] for line in (*last, new)] == ["2", "3", "4", "5"]
    assert code == 0


def test_where_no_pool_has_run_that_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["logs", "--config", str(configured(tmp_path))])

    assert result.exit_code == 1
    assert "begin with `claude-pool serve`" in result.stderr
