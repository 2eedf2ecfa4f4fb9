"""``/docs``: everything of the document is on the page, and nothing of it comes from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.server.docs import page


class Seen(HTMLParser):
    """Tags, ids and addresses of a page, which closes every tag that it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} runs {value}"
            if name == "id" and value:
                self.ids.append(value)
            if name in {"href", "src"} and value:
                self.links.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
async def seen(http: AsyncClient) -> Seen:
    seen = Seen()
    seen.feed((await http.get("/docs")).text)
    return seen


async def test_every_operation_and_every_schema_is_there_once_and_every_link_leads_there(
    app: FastAPI, seen: Seen
) -> None:
    document = app.openapi()
    operations = [each for path in document["paths"].values() for each in path.values()]
    schemas = document["components"]["schemas"]

    assert len(seen.ids) == len(set(seen.ids))
    assert {each["operationId"] for each in operations} <= set(seen.ids)
    assert {f"schema-{name}" for name in schemas} <= set(seen.ids)
    assert {each.removeprefix("#") for each in seen.links} - set(seen.ids) == {"/openapi.json"}
    assert not seen.open


async def test_nothing_is_loaded_and_nothing_runs(http: AsyncClient, seen: Seen) -> None:
    answer = await http.get("/docs")

    assert seen.tags.isdisjoint({"script", "link", "img", "iframe", "form", "object"})
    assert "@import" not in answer.text
    assert "url(" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; frame-ancestors 'none'", policy
    )


def test_what_a_document_says_is_text_on_the_page_whatever_it_is() -> None:
    evil = "<script>alert(1)</script>`<b>`"
    schema = {
        "description": evil,
        "properties": {evil: {"type": "string", "default": evil, "enum": [evil]}},
    }
    operation = {
        "operationId": "one",
        "summary": evil,
        "parameters": [{"name": evil, "in": "query", "schema": {"$ref": evil}}],
        "responses": {"200": {"description": evil}},
    }
    document = {
        "info": {"title": evil, "version": "1", "description": evil},
        "paths": {f"/{evil}": {"get": operation}},
        "components": {"schemas": {evil: schema}},
    }

    shown = page(document)

    assert "<script" not in shown
    assert "<b>`" not in shown
    assert "<code>&lt;b&gt;</code>" in shown
