"""deploy/configuration.md says of every setting what the models say, and of nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from pool.config import Config

PAGE = Path(__file__).parents[2] / "deploy" / "configuration.md"
_SECTION = re.compile(r"^## `(\[+)(\w+)\]+`$", re.MULTILINE)
_ROW = re.compile(r"^\| `([\w.]+)` \| (?:`(.*?)`|(none|required)) \|.*\|$", re.MULTILINE)
REQUIRED, NONE = "required", "none"


class Setting(NamedTuple):
    section: str
    name: str
    default: str
    """As TOML writes it, ``none`` or ``required``."""


def documented() -> list[Setting]:
    _, *parts = _SECTION.split(PAGE.read_text(encoding="utf-8"))
    sections = zip(parts[1::3], parts[2::3], strict=True)
    return [
        Setting(section, name, default or word)
        for section, text in sections
        for name, default, word in _ROW.findall(text)
    ]


def values_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a setting holds: by itself, optionally, or as the items of a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, UnionType, Annotated):
        found = (values_in(each) for each in get_args(annotation))
        return next((each for each in found if each is not None), None)
    return None


def fields_of(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        found[prefix + name] = field
        inner = values_in(field.annotation)
        if inner is not None:
            found |= fields_of(inner, f"{prefix}{name}.")
    return found


def declared() -> dict[tuple[str, str], FieldInfo]:
    found = {}
    for section, field in Config.model_fields.items():
        model = values_in(field.annotation)
        assert model is not None, section
        found |= {(section, name): each for name, each in fields_of(model).items()}
    return found


def is_default(field: FieldInfo, written: str) -> bool:
    if written in (REQUIRED, NONE):
        return field.is_required() if written == REQUIRED else field.default is None
    default = field.get_default(call_default_factory=True)
    value = tomllib.loads(f"it = {written}")["it"]
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return bool(default == TypeAdapter(kind).validate_python(value))


def test_every_setting_stands_in_the_page_once() -> None:
    shown = [(each.section, each.name) for each in documented()]

    assert [each for each in declared() if each not in shown] == []
    assert [each for each in shown if each not in declared()] == []
    assert len(shown) == len(set(shown))


def test_a_section_is_written_with_as_many_brackets_as_toml_wants() -> None:
    brackets = {name: marks for marks, name in _SECTION.findall(PAGE.read_text(encoding="utf-8"))}

    tables = {
        name: "[[" if get_origin(each.annotation) is tuple else "["
        for name, each in Config.model_fields.items()
    }
    assert tables == brackets


@pytest.mark.parametrize("setting", documented(), ids=lambda each: f"{each.section}.{each.name}")
def test_the_default_in_the_page_is_the_default(setting: Setting) -> None:
    assert is_default(declared()[setting.section, setting.name], setting.default)
