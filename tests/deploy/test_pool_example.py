import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pool.config import Config, load, parse

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "pool.example.toml"
SECTIONS = (
    "pool",
    "server",
    "ray",
    "claude",
    "processes",
    "limits",
    "health",
    "routing",
    "rebalancing",
    "alerts",
    "reconciliation",
)


def test_the_example_can_be_read() -> None:
    config = load(EXAMPLE)

    assert [spec.id for spec in config.subscriptions] == ["sub1", "sub2", "overflow"]
    assert [key.name for key in config.api_keys] == ["ci"]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_of_the_example_stands_at_its_default(section: str) -> None:
    shown: dict[str, Any] = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))[section]

    assert getattr(parse({}), section) == getattr(parse({section: shown}), section)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_example_names_every_setting(section: str) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    settings = getattr(Config(), section)

    missing = [name for name in type(settings).model_fields if f"{name} =" not in text]

    assert missing == []


def test_the_webhook_of_the_example_can_be_read() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    block = text[text.index("# [[webhooks]]") :].split("\n\n")[0]

    (webhook,) = parse(tomllib.loads(re.sub("^# ", "", block, flags=re.MULTILINE))).webhooks

    assert webhook.name == "ops"
    assert [name for name in type(webhook).model_fields if f"# {name} =" not in block] == []


def test_the_configuration_in_the_readme_can_be_read(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "pool.toml"
    path.write_text(readme.split("```toml")[1].split("```")[0], encoding="utf-8")

    assert [spec.id for spec in load(path).subscriptions] == ["sub1", "overflow"]
