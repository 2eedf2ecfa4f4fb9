"""What conforms to a schema, told in bounded work."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pool.executions.schemas.conformity import MAX_FAULT_CHARACTERS, MOST_FAULTS, faults, problem_of

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}


def test_what_conforms_has_no_faults() -> None:
    assert problem_of(CITY) is None
    assert faults(CITY, {"city": "Rome", "days": 2}) == ()


def test_each_fault_is_told_with_its_place() -> None:
    found = faults(CITY, {"city": 7, "days": 0, "more": 1})

    assert sorted(each.partition(":")[0] for each in found) == ["city", "days", "the input"]
    assert any("7 is not of type 'string'" in each for each in found)
    nested = {"properties": {"all": {"type": "array", "items": {"type": "string"}}}}
    assert faults(nested, {"all": ["a", 1]})[0].startswith("all[1]: ")


def test_faults_are_bounded_in_number_and_length() -> None:
    many = {"additionalProperties": {"type": "string"}}

    found = faults(many, {f"f{n}": list(range(1000)) for n in range(50)})

    assert len(found) == MOST_FAULTS
    assert all(len(each) < MAX_FAULT_CHARACTERS + 20 for each in found)


def test_references_within_the_schema_are_followed_and_no_others_fetched() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}}
    elsewhere = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}

    assert faults(schema, {"a": 1}) == ("a: 1 is not of type 'string'",)
    assert len(faults(elsewhere, {"a": 1})) == 1


@pytest.mark.parametrize(
    "schema",
    [{"properties": []}, {"type": "nothing"}, {"$ref": "#/$defs/missing"}, {"$ref": "#"}],
    ids=["no properties", "no type", "no such reference", "endless"],
)
def test_a_schema_that_nothing_can_be_held_to_says_why(schema: dict[str, Any]) -> None:
    assert problem_of(schema) is not None


def test_alternatives_that_double_with_each_level_end_in_bounded_time() -> None:
    levels = 40
    twice = {f"l{n}": {"anyOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    schema = {
        "properties": {"a": {"$ref": "#/$defs/l0"}},
        "$defs": {**twice, f"l{levels}": {"type": "string"}},
    }
    begun = time.monotonic()

    found = faults(schema, {"a": 1})

    assert len(found) == 1
    assert "bounded" in found[0]
    assert time.monotonic() - begun < 20


SLOW = "^(a+)+$"
ANY_DRAFT = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string", "pattern": SLOW}}},
        {"properties": {"a": {"$schema": ANY_DRAFT, "pattern": SLOW}}},
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"a": {"pattern": SLOW}, "b": {"$ref": "#"}},
        },
        {"properties": {"a": {"pattern": "^\\p{L}+$"}}},
        {"patternProperties": {SLOW: {}}, "additionalProperties": False},
        {"patternProperties": {SLOW: {}}, "unevaluatedProperties": False},
    ],
    ids=[
        "pattern",
        "of another draft",
        "of the same draft",
        "not Python's",
        "other names",
        "names left over",
    ],
)
def test_patterns_are_not_looked_at(schema: dict[str, Any]) -> None:
    """Of some Python's ``re`` tells after years."""
    slow = "a" * 40 + "!"

    assert problem_of(schema) is None
    assert faults(schema, {"a": slow, slow: 1, "b": {"a": slow}}) == ()


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"a": {"multipleOf": 0.5}}}, {"a": 10**400}),
        ({"properties": {"a": {"multipleOf": 1}}}, {"a": float("nan")}),
        ({"properties": {"a": {"prefixItems": 5}}}, {"a": [1]}),
    ],
    ids=["too large to divide", "no number", "malformed below"],
)
def test_what_cannot_be_told_does_not_conform(schema: dict[str, Any], value: Any) -> None:
    assert len(faults(schema, value)) == 1


def test_a_schema_is_looked_at_in_little_work() -> None:
    """Many come with each request: references that double are refused after few steps."""
    levels = 13
    twice = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    schema = {"$ref": "#/$defs/l0", "$defs": {**twice, f"l{levels}": {}}}

    assert "too much work" in (problem_of(schema) or "")
