"""``/docs``: the OpenAPI document as a page, made here and complete in itself.

Nothing is loaded from anywhere, and nothing on the page runs: it is plain text with links, made
once of the document, and its policy allows its own style by digest and nothing else. So it is there
without a way to the internet, and no page of the service trusts somebody else's script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

Schema = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
code, summary { font-family: ui-monospace, monospace; font-size: 0.9em; }
details { border: 1px solid var(--line); border-radius: 6px; margin: 0.4rem 0; padding: 0 0.8rem; }
summary { cursor: pointer; padding: 0.5rem 0; overflow-wrap: anywhere; }
summary b { display: inline-block; min-width: 4.2em; text-transform: uppercase; }
summary span { font-family: system-ui, sans-serif; opacity: 0.75; margin-left: 0.6em; }
table { border-collapse: collapse; width: 100%; margin: 0.3rem 0 1rem; }
td, th { text-align: left; vertical-align: top; padding: 0.25rem 0.8rem 0.25rem 0;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
i { display: block; scroll-margin-top: 3.5rem; }
nav a { margin-right: 1em; }
pre { overflow-x: auto; padding: 0.5rem; border: 1px solid var(--line); border-radius: 6px; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"

_CODE = re.compile(r"``?([^`]+)``?")
_REF = "#/components/schemas/"
_BOUNDS = {
    "default": "default",
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "exclusiveMaximum": "below",
    "minLength": "at least so long:",
    "maxLength": "at most so long:",
    "minItems": "at least so many:",
    "maxItems": "at most so many:",
    "pattern": "pattern",
}
"""What a schema says beside its type, in words."""


def serve_docs(app: FastAPI, path: str = "/docs") -> None:
    """Have ``app`` answer with the page of its document."""
    made: list[str] = []

    async def docs(_request: Request) -> HTMLResponse:
        if not made:
            made.append(page(app.openapi()))
        return HTMLResponse(made[0], headers={"Content-Security-Policy": _POLICY})

    app.add_route(path, docs, include_in_schema=False)


def page(document: Schema) -> str:
    """An OpenAPI document as HTML."""
    info = document["info"]
    groups: dict[str, list[str]] = defaultdict(list)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            (name, *_) = operation.get("tags") or ("service",)
            groups[name].append(_operation(method, path, operation))
    schemas = document.get("components", {}).get("schemas", {})
    title = f"{escape(info['title'])} {escape(info['version'])}"
    links = (f'<a href="#{escape(name)}">{escape(name)}</a>' for name in (*groups, "schemas"))
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1>{_text(info.get('description'))}",
            '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>',
            f"<nav>{''.join(links)}</nav>",
            *(_section(name, each) for name, each in groups.items()),
            _section("schemas", map(_schema, schemas, schemas.values())),
            "</body></html>",
        )
    )


def _section(name: str, parts: Iterable[str]) -> str:
    return f'<h2 id="{escape(name)}">{escape(name)}</h2>{"".join(parts)}'


def _operation(method: str, path: str, operation: Schema) -> str:
    parameters = [
        (each["name"], f"{each['in']}, {_type(each['schema'])}", each.get("required", False), each)
        for each in operation.get("parameters", ())
    ]
    return "".join(
        (
            f"<details><summary><b>{escape(method)}</b> {escape(path)}",
            f"<span>{_inline(operation.get('summary', ''))}</span></summary>",
            _target(operation["operationId"]),
            _text(operation.get("description")),
            _table("parameter", (_row(*each) for each in parameters)),
            *_body(operation.get("requestBody")),
            _table("answer", _answers(operation["responses"])),
            f"<pre>{escape(_example(method, path, operation))}</pre></details>",
        )
    )


def _body(body: Schema | None) -> Iterator[str]:
    for media, content in (body or {}).get("content", {}).items():
        yield f"<p>Body: <code>{escape(media)}</code>, {_type(content.get('schema', {}))}</p>"


def _answers(responses: Schema) -> Iterator[str]:
    for status, response in sorted(responses.items()):
        types = (
            f"<code>{escape(media)}</code> {_type(content.get('schema', {}))}"
            for media, content in response.get("content", {}).items()
        )
        told = _inline(response.get("description", ""))
        yield f"<tr><td>{escape(status)}</td><td>{'<br>'.join(types)}</td><td>{told}</td></tr>"


def _example(method: str, path: str, operation: Schema) -> str:
    """How to ask from a shell."""
    words = ["curl", "-H 'x-api-key: ...'"] if operation.get("security") else ["curl"]
    words += [] if method == "get" else [f"-X {method.upper()}"]
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        words.append("--json '{...}'")
    return " ".join((*words, f"'http://127.0.0.1:8600{path}'"))


def _schema(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = (
        _row(field, _type(each), field in required, each)
        for field, each in schema.get("properties", {}).items()
    )
    kind = "" if "properties" in schema else f"<p>{_type(schema)}</p>"
    return (
        f"<details><summary>{escape(name)}</summary>{_target(f'schema-{name}')}"
        f"{_text(schema.get('description'))}{kind}{_table('field', rows)}</details>"
    )


def _target(name: str) -> str:
    """Where a link leads. It stands within what can be closed, so that a browser opens that."""
    return f'<i id="{escape(name)}"></i>'


def _table(heading: str, rows: Iterable[str]) -> str:
    inside = "".join(rows)
    head = f"<tr><th>{heading}</th><th>type</th><th></th></tr>"
    return f"<table>{head}{inside}</table>" if inside else ""


def _row(name: str, kind: str, is_required: bool, told: Schema) -> str:
    schema = told.get("schema", told)
    bounds = (
        f"{words} <code>{escape(json.dumps(schema[key], ensure_ascii=False))}</code>"
        for key, words in _BOUNDS.items()
        if key in schema
    )
    marks = ", ".join((*(["required"] if is_required else []), *bounds))
    about = _inline(told.get("description", ""))
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td>"
        f"<td>{about}{' ' if about and marks else ''}{marks}</td></tr>"
    )


def _type(schema: Schema) -> str:
    """What a schema takes, in a line, with links to those that have a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REF))
        return f'<a href="#schema-{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[several])))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(json.dumps(each))}</code>" for each in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', schema.get('prefixItems', [{}])[0]))}"
    if isinstance(named := schema.get("additionalProperties"), dict) and named:
        return f"object of {_type(named)}"
    kind = schema.get("type", "anything")
    return f"{kind} ({escape(schema['format'])})" if "format" in schema else str(kind)


def _text(text: str | None) -> str:
    paragraphs = (text or "").strip().split("\n\n")
    return "".join(f"<p>{_inline(each)}</p>" for each in paragraphs if each)


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
