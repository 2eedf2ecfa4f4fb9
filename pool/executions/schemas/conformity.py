"""Whether a value conforms to a JSON schema, and what is wrong with it where it does not.

Schema and value come from callers and models. So nothing is fetched, whatever a ``$ref`` names; the
work is bounded, since alternatives of references double it with each level; and patterns are not
looked at, for some take Python's ``re`` for ever with thirty characters. What the library would do
beside that is kept out: a part of a schema that names a draft (``$schema``) would be checked by
that draft's own keywords, and properties that no pattern names are looked for with ``re``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import islice
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry

MOST_STEPS = 20_000
"""Keywords that are applied for one value, 0.2-0.8 s of them; one of a hundred fields takes 300."""
MOST_STEPS_OF_NOTHING = 500
"""For a value without fields: enough to follow references that end."""
MOST_FAULTS = 5
MAX_FAULT_CHARACTERS = 300
_NOT_CHECKED = {"pattern", "patternProperties", "format", "$dynamicRef", "unevaluatedProperties"}

_steps: ContextVar[list[int]] = ContextVar("steps")


class TooMuch(Exception):
    """A schema that takes more work than it may."""


def _counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def apply(*given: Any) -> Iterator[ValidationError]:
        left = _steps.get()
        left[0] -= 1
        if left[0] < 0:
            raise TooMuch("it takes too much work")
        yield from keyword(*given) or ()

    return apply


def _others(validator: Any, others: Any, value: Any, schema: dict[str, Any]) -> Any:
    """``additionalProperties``; beside patterns nobody can tell which these are."""
    if "patternProperties" in schema:
        return ()
    return Draft202012Validator.VALIDATORS["additionalProperties"](validator, others, value, schema)


_KEYWORDS = {
    name: _counted(keyword)
    for name, keyword in {
        **Draft202012Validator.VALIDATORS,
        "additionalProperties": _others,
    }.items()
    if name not in _NOT_CHECKED
}
_Validator = validators.create(Draft202012Validator.META_SCHEMA, _KEYWORDS)
_evolve = _Validator.evolve


def _evolved(self: Any, **changes: Any) -> Any:
    """The validator of a part, which is one of these whatever draft the part names."""
    schema = changes.get("schema", self.schema)
    if isinstance(schema, dict):
        schema = {name: each for name, each in schema.items() if name != "$schema"}
    return _evolve(self, **{**changes, "schema": schema})


_Validator.evolve = _evolved


def problem_of(schema: dict[str, Any]) -> str | None:
    """Why nothing can be held to a schema; None where it can be."""
    try:
        # In a third of the time that the later drafts take, whose references are dynamic; without
        # formats, since a pattern may be one that Python's ``re`` does not know.
        Draft7Validator.check_schema(schema, format_checker=None)
        _first_faults(schema, {}, MOST_STEPS_OF_NOTHING)
    except SchemaError as error:
        return f"is no JSON schema: {_short(error.message)}"
    except Exception as error:  # noqa: BLE001 - as many kinds as there are malformed schemas
        return f"cannot be applied: {_short(str(error) or type(error).__name__)}"
    return None


def faults(schema: dict[str, Any], value: Any) -> tuple[str, ...]:
    """What is wrong with a value, each fault with its place; none where it conforms. One that
    cannot be told, or not in bounded work, does not.
    """
    try:
        return tuple(
            f"{_place(each)}: {_short(each.message)}"
            for each in _first_faults(schema, value, MOST_STEPS)
        )
    except Exception:  # noqa: BLE001 - a number too large to divide, a reference to nothing, ..
        return ("the schema cannot be applied to this in bounded work: give something simpler",)


def _first_faults(schema: dict[str, Any], value: Any, most_steps: int) -> list[ValidationError]:
    before = _steps.set([most_steps])
    try:
        found = _Validator(schema, registry=Registry()).iter_errors(value)
        return list(islice(found, MOST_FAULTS))
    finally:
        _steps.reset(before)


def _place(error: ValidationError) -> str:
    return (
        "".join(
            f"[{each}]" if isinstance(each, int) else f".{each}" for each in error.absolute_path
        ).lstrip(".")
        or "the input"
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_FAULT_CHARACTERS else f"{text[:MAX_FAULT_CHARACTERS]}.."
