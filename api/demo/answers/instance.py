"""The smallest value that fits a JSON schema, for answers to requests that ask for structured
output.

Covers what people put into `--json-schema`: types, required properties, enumerations, constants,
references, unions, and lower bounds. Patterns and formats are not obeyed.
"""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 32


def minimal_instance(schema: dict[str, Any]) -> Any:
    """A value that fits `schema`; ValueError when it nests deeper than 32, as an endless reference
    does.
    """
    return _instance(schema, schema, _MAX_DEPTH)


def _instance(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if depth == 0:
        raise ValueError("the schema nests too deeply")
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return _instance(_resolved(str(schema["$ref"]), root), root, depth - 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _instance(schema[key][0], root, depth - 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            return {
                name: _instance(properties.get(name, {}), root, depth - 1)
                for name in schema.get("required", [])
            }
        case "array":
            item = schema.get("items", {})
            return [_instance(item, root, depth - 1) for _ in range(int(schema.get("minItems", 0)))]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return "x" * int(schema.get("minLength", 0))


def _resolved(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(part, {}) if part and isinstance(found, dict) else found
    return found
