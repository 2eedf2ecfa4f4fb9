from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from pool.executions.schemas.answer_schema import SchemaProblem, check, normalized, opened
from tests.support.suite.paths import FIXTURES

SENT: dict[str, Any] = json.loads((FIXTURES / "answer_schemas.json").read_text())
"""What zod 4.6, version 6 of the AI SDK, and pydantic write of common types."""
MIXED = ["zod: mixed tuple", "pydantic: mixed tuple"]
TEXT = {"type": "string"}
PAIR = [TEXT, TEXT]


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def in_a_list(schema: Any, **keywords: Any) -> dict[str, Any]:
    return of(a={"type": "array", "prefixItems": schema, **keywords})


@pytest.mark.parametrize("name", [name for name in SENT if name not in MIXED])
def test_what_libraries_write_is_told_in_what_the_cli_and_the_api_both_understand(
    name: str,
) -> None:
    schema = normalized(SENT[name])

    Draft7Validator.check_schema(schema)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert {"$schema", "anyOf", "oneOf", "allOf", "$ref"}.isdisjoint(schema)
    for word in ("prefixItems", "discriminator", "x-order", '"example"', "deprecated"):
        assert word not in json.dumps(schema)


@pytest.mark.parametrize("name", MIXED)
def test_a_list_with_a_kind_for_each_place_is_refused_by_name(name: str) -> None:
    with pytest.raises(SchemaProblem, match="use an object") as caught:
        check(SENT[name])

    assert caught.value.place == ("properties", "at", "prefixItems")


@pytest.mark.parametrize(
    "schema",
    [
        in_a_list(PAIR, items=False, minItems=2, maxItems=2),
        in_a_list(PAIR, minItems=2),
        of(a={"type": "array", "items": PAIR, "additionalItems": False, "minItems": 2}),
    ],
)
def test_a_list_whose_places_are_alike_is_a_list_of_so_many(schema: dict[str, Any]) -> None:
    assert normalized(schema) == of(
        a={"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}
    )


def test_a_list_whose_rest_is_like_its_places_stays_as_long_as_it_may_be() -> None:
    assert normalized(in_a_list(PAIR, items=TEXT)) == of(a={"type": "array", "items": TEXT})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            {"$schema": "urn:any", **of(a={**TEXT, "id": "A", "discriminator": {}, "x-y": 1})},
            of(a=TEXT),
        ),
        (of(a={**TEXT, "nullable": True}), of(a={"anyOf": [TEXT, {"type": "null"}]})),
        (of(a={**TEXT, "nullable": False}), of(a=TEXT)),
        (of(a={**TEXT, "minLength": None, "default": None}), of(a={**TEXT, "default": None})),
        (of(a={**TEXT, "pattern": "(?P<x>a)"}), of(a={**TEXT, "pattern": "(?<x>a)"})),
        (of(a={**TEXT, "unevaluatedProperties": True}), of(a=TEXT)),
        (of(a={"then": TEXT}, b={"if": TEXT}), of(a={}, b={})),
        (of(a=True, b=False), of(a=True, b=False)),
        (of(prefixItems=TEXT, discriminator=TEXT), of(prefixItems=TEXT, discriminator=TEXT)),
        (of(a={"const": {"$schema": "x"}}), of(a={"const": {"$schema": "x"}})),
        ({"properties": {"a": TEXT}}, of(a=TEXT)),
        ({}, {"type": "object"}),
    ],
)
def test_what_has_a_plain_meaning_is_told_with_it(sent: Any, expected: Any) -> None:
    assert normalized(sent) == expected


BROKEN: list[tuple[str, Any]] = [
    ("properties.a.type", of(a={"type": "text"})),
    ("properties.a.type", of(a={"type": []})),
    ("properties.a.minLength", of(a={"minLength": -1})),
    ("properties.a.maximum", of(a={"maximum": "1"})),
    ("properties.a.multipleOf", of(a={"multipleOf": 0})),
    ("properties.a.enum", of(a={"enum": []})),
    ("properties.a.enum", of(a={"enum": ["x", "x"]})),
    ("properties.a.pattern", of(a={"pattern": "("})),
    ("properties.a.anyOf", of(a={"anyOf": []})),
    ("properties.a.anyOf.1", of(a={"anyOf": [{}, 7]})),
    ("properties.a.required", of(a={"required": True})),
    ("properties.a.$ref", of(a={"$ref": "#/$defs/nowhere"})),
    ("properties.a.$ref", of(a={"$ref": "https://example.com/schema.json"})),
    ("properties.a.$ref", of(a={"$ref": "#anchor"})),
    ("properties.a.minContains", of(a={"minContains": 2})),
    ("unevaluatedProperties", {**of(), "unevaluatedProperties": False}),
    ("dependentRequired", {**of(), "dependentRequired": {"a": ["b"]}}),
    ("properties", {"properties": []}),
    ("$defs.A.type", {**of(), "$defs": {"A": {"type": "text"}}}),
]


@pytest.mark.parametrize(("field", "schema"), BROKEN)
def test_what_cannot_be_told_is_named_by_its_place(field: str, schema: Any) -> None:
    with pytest.raises(SchemaProblem) as caught:
        check(schema)

    assert ".".join(map(str, caught.value.place)) == field
    assert (
        normalized(schema) == schema
    )  # kept before schemas were checked: the CLI says what is wrong


@pytest.mark.parametrize(
    "root",
    [
        {"type": "array", "items": TEXT},
        {"anyOf": [of(a=TEXT), of(b=TEXT)]},
        {"type": ["object", "null"]},
        {"enum": ["red", "green"]},
        TEXT,
    ],
)
def test_an_answer_of_another_kind_than_an_object_comes_in_an_envelope(root: Any) -> None:
    schema = normalized(root)
    (name,) = schema["properties"]

    assert schema["required"] == [name]
    assert schema["properties"][name] == root
    assert opened({"result": "x", "structured_output": {name: ["\u00e4"]}}) == (
        '["\u00e4"]',
        ["\u00e4"],
    )


@pytest.mark.parametrize("structure", [None, {}, {"a": 1}, {"value": 1}, ["x"], "x"])
def test_an_answer_without_an_envelope_is_as_it_is(structure: Any) -> None:
    assert opened({"result": "x", "structured_output": structure}) == ("x", structure)


def test_references_lead_to_the_same_parts_inside_an_envelope() -> None:
    tree = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/Leaf"}]},
        "$defs": {"Leaf": {"type": "integer"}},
    }
    validator = Draft202012Validator(normalized(tree))
    (name,) = normalized(tree)["properties"]

    assert validator.is_valid({name: [[1], 2, [[3]]]})
    assert not validator.is_valid({name: [["x"]]})
