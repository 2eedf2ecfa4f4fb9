"""What runs the CLI for a subscription, and where a subscription is at home on disk."""

from __future__ import annotations

from pathlib import Path

from pool import config as configuration
from pool.claude.binary.installation import Installation
from pool.claude.process.idle.kept import MOST_AGE_SECONDS, Keeping
from pool.claude.process.idle.machine import PROCESS_BYTES, memory_bytes
from pool.claude.process.process_runner import ProcessRunner
from pool.config import Config

AUTO_SPARES = 2


def home_of(config: Config, subscription_id: str) -> Path:
    return config.pool.data_dir / "subscriptions" / subscription_id


def runner_of(config: Config, home: Path) -> ProcessRunner:
    installation = Installation(config.claude.path, configuration.environment().get("PATH"))
    return ProcessRunner(
        *(installation.executable, home / "runs"),
        max_output_bytes=config.claude.max_output_bytes,
        keeping=_keeping(config),
    )


def _keeping(config: Config) -> Keeping:
    """How many processes may be idle on this machine, which all subscriptions here share."""
    settings = config.processes
    most = memory_bytes() // 4 if settings.max_memory == "auto" else settings.max_memory
    age = min(MOST_AGE_SECONDS, config.pool.keep_prompts.total_seconds())
    return Keeping(
        most_age_seconds=age,
        spares=AUTO_SPARES if settings.spares == "auto" else settings.spares,
        seconds=settings.keep_session_seconds,
        reuses=settings.reuse == "same_key",
        places=config.pool.data_dir / "idle-processes",
        most=most // PROCESS_BYTES,
    )
