"""JSON schemas of answers: what callers send, and what the CLI and Anthropic's API take of it.

Two readers stand behind a schema. The CLI checks it as of draft 7, and refuses every keyword that
it does not know; the API takes an object at the root alone, without alternatives there, and what is
valid by draft 2020-12: lists of ``items``, which say what stands at each place, are not (their own
words: "input_schema does not support oneOf, allOf, or anyOf at the top level", "It must match JSON
Schema draft 2020-12"). So a schema is put into what both understand: annotations go, a root of
another kind is put into an envelope, and a ``SchemaProblem`` names what cannot be said. What is
sent on may be narrower than what came, never wider: an answer that fits one fits the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pool.executions.schemas.pattern import BadPattern, javascript

_ENVELOPE = "pool_answer"
"""The one name in the object that an answer of another kind comes in. No caller's own."""
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ALTERNATIVES = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$defs", "definitions"})
_DEFINITIONS = ("$defs", "definitions")
_UNSAID = {
    **dict.fromkeys(
        ("unevaluatedProperties", "unevaluatedItems"),
        "is not known to the CLI: say it with additionalProperties or items",
    ),
    **dict.fromkeys(
        ("dependentRequired", "dependentSchemas"), "is not known to the CLI: say it with anyOf"
    ),
    **dict.fromkeys(
        ("minContains", "maxContains"), "is not known to the CLI: bound the list with minItems"
    ),
    **dict.fromkeys(
        ("$dynamicRef", "$recursiveRef"), "is not known to the CLI: say it with $ref and $defs"
    ),
}
"""Keywords that bound an answer, and are taken by neither: without them it might not fit."""

Place = tuple[str | int, ...]


class SchemaProblem(ValueError):
    """What cannot be said of a schema; ``place`` is where in it."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.place = place


def place_inside(error: Mapping[str, Any]) -> Place:
    """Where in a schema an error of pydantic's lies; nowhere for one that is no schema's."""
    problem = error.get("ctx", {}).get("error")
    return problem.place if isinstance(problem, SchemaProblem) else ()


def check(schema: Mapping[str, Any]) -> None:
    """Return where both take a schema; else ``SchemaProblem``."""
    _Normalization(schema).root()


def normalized(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema as the CLI and the API take it. One that was kept before schemas were checked may
    be none of theirs: it goes as it is, and they say so.
    """
    try:
        return _Normalization(schema).root()
    except SchemaProblem:
        return schema


def opened(result: Mapping[str, Any]) -> tuple[Any, Any]:
    """Text and structure of a ``result`` of the CLI, without the envelope of ``normalized``."""
    structure = result.get("structured_output")
    if not isinstance(structure, dict) or structure.keys() != {_ENVELOPE}:
        return result.get("result"), structure
    inside = structure[_ENVELOPE]
    return json.dumps(inside, ensure_ascii=False, separators=(",", ":")), inside


def _is_enveloped(schema: Mapping[str, Any]) -> bool:
    said = {name for name in _READERS if schema.get(name) is not None} - _ANNOTATIONS
    kind = schema.get("type") or ("object" if "properties" in said or not said else None)
    return kind != "object" or schema.get("nullable") is True or not said.isdisjoint(_ALTERNATIVES)


class _Normalization:
    """One schema on its way."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._is_enveloped = _is_enveloped(schema)
        self._references: list[tuple[Place, str]] = []

    def root(self) -> dict[str, Any]:
        sent = {each: self._schema[each] for each in self._schema if each not in _DEFINITIONS}
        schema = self.schema(sent, ())
        if self._is_enveloped:
            schema = {
                "properties": {_ENVELOPE: schema},
                "required": [_ENVELOPE],
                "additionalProperties": False,
            }
        for name in _DEFINITIONS:
            if self._schema.get(name) is not None:
                schema[name] = self.named(self._schema[name], (name,))
        for place, reference in self._references:
            if not _resolves(schema, reference):
                raise SchemaProblem(place, "names no part of this schema: define it in $defs")
        return {"type": "object", **schema}

    def schema(self, schema: Any, place: Place) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise SchemaProblem(place, "must be a schema: an object, true or false")
        known = self._keywords(schema, place)
        return {"anyOf": [known, {"type": "null"}]} if schema.get("nullable") is True else known

    def _keywords(self, schema: Mapping[str, Any], place: Place) -> dict[str, Any]:
        for name, problem in _UNSAID.items():
            if schema.get(name) not in (None, True, {}):
                raise SchemaProblem((*place, name), problem)
        # Many clients write what they leave open as null.
        known = {name: schema[name] for name in schema if name in _READERS}
        known = {k: v for k, v in known.items() if v is not None or k in {"const", "default"}}
        return {
            name: _READERS[name](self, value, (*place, name))
            for name, value in _without_strays(_without_places(known, schema, place)).items()
        }

    def schemas(self, schemas: Any, place: Place) -> list[Any]:
        if not isinstance(schemas, list) or not schemas:
            raise SchemaProblem(place, "must be a list of schemas")
        return [self.schema(each, (*place, at)) for at, each in enumerate(schemas)]

    def named(self, schemas: Any, place: Place) -> dict[str, Any]:
        if not isinstance(schemas, dict):
            raise SchemaProblem(place, "must be an object of schemas")
        return {name: self.schema(each, (*place, name)) for name, each in schemas.items()}

    def by_pattern(self, schemas: Any, place: Place) -> dict[str, Any]:
        named = self.named(schemas, place)
        return {_pattern(name, (*place, name)): each for name, each in named.items()}

    def reference(self, reference: Any, place: Place) -> Any:
        if not isinstance(reference, str):
            raise SchemaProblem(place, "must be a text")
        stays = reference.startswith(tuple(f"#/{name}/" for name in _DEFINITIONS))
        if self._is_enveloped and reference.startswith("#") and not stays:
            reference = f"#/properties/{_ENVELOPE}{reference[1:]}"
        self._references.append((place, reference))
        return reference


def _without_places(known: dict[str, Any], sent: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """What says of a list what stands at each place, said of all places where they are alike."""
    name = "prefixItems" if sent.get("prefixItems") is not None else "items"
    places = sent.get(name)
    if not isinstance(places, list) or not places:
        return known
    rest = sent.get("items" if name == "prefixItems" else "additionalItems")
    is_alike = all(each == places[0] for each in places)
    if not is_alike or rest not in (None, True, False, {}, places[0]):
        raise SchemaProblem(
            (*place, name),
            "says of each place of a list what stands there, which the CLI and the API do not "
            "both take: use an object with a name for each",
        )
    joined = {**known, "items": places[0]}
    most: Any = known.get("maxItems")
    if rest != places[0] and not (_is_count(most) and most < len(places)):
        joined["maxItems"] = len(places)
    return joined


def _without_strays(known: dict[str, Any]) -> dict[str, Any]:
    """What means nothing where its other half is missing, which the CLI refuses."""
    if "if" in known and not known.keys().isdisjoint({"then", "else"}):
        return known
    return {name: known[name] for name in known if name not in {"if", "then", "else"}}


def _must(is_fit: Callable[[Any], bool], words: str) -> Callable[[_Normalization, Any, Place], Any]:
    def read(_: _Normalization, value: Any, place: Place) -> Any:
        if not is_fit(value):
            raise SchemaProblem(place, f"must be {words}")
        return value

    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return (
        bool(names)
        and _is_set(names)
        and all(isinstance(each, str) and each in _TYPES for each in names)
    )


def _is_set(values: Any) -> bool:
    if not isinstance(values, list):
        return False
    return len({json.dumps(each, sort_keys=True) for each in values}) == len(values)


def _is_names(values: Any) -> bool:
    return _is_set(values) and all(isinstance(each, str) for each in values)


def _pattern(pattern: Any, place: Place) -> str:
    """A regular expression, as the CLI reads it."""
    if not isinstance(pattern, str):
        raise SchemaProblem(place, "must be a text")
    try:
        return javascript(pattern)
    except BadPattern as problem:
        raise SchemaProblem(place, f"is no regular expression of JavaScript: {problem}") from None


def _resolves(root: Mapping[str, Any], reference: str) -> bool:
    """Whether a reference names a part of a schema."""
    part: Any = root
    if not reference.startswith("#") or reference[1:2] not in {"", "/"}:
        return False
    for step in reference[1:].split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and name in part:
            part = part[name]
        elif isinstance(part, list) and name.isdecimal() and int(name) < len(part):
            part = part[int(name)]
        else:
            return False
    return isinstance(part, dict | bool)


_READERS: dict[str, Callable[[_Normalization, Any, Place], Any]] = {
    **dict.fromkeys(
        ("title", "description", "format", "contentEncoding", "contentMediaType"),
        _must(lambda value: isinstance(value, str), "a text"),
    ),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        _must(_is_number, "a number"),
    ),
    "multipleOf": _must(lambda value: _is_number(value) and value > 0, "a number above 0"),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        _must(_is_count, "a whole number, 0 or more"),
    ),
    "uniqueItems": _must(lambda value: isinstance(value, bool), "true or false"),
    "examples": _must(lambda value: isinstance(value, list), "a list"),
    "type": _must(_is_type, f"one or more of {', '.join(sorted(_TYPES))}"),
    "enum": _must(lambda value: _is_set(value) and bool(value), "a list of different values"),
    "required": _must(_is_names, "a list of different names"),
    "const": lambda _, value, __: value,
    "default": lambda _, value, __: value,
    "pattern": lambda _, value, place: _pattern(value, place),
    **dict.fromkeys(
        ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"),
        _Normalization.schema,
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _Normalization.schemas),
    **dict.fromkeys(("properties", *_DEFINITIONS), _Normalization.named),
    "patternProperties": _Normalization.by_pattern,
    "$ref": _Normalization.reference,
}
