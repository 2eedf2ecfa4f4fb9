"""The page as it is served: what is built, and nothing else."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from api.page.page import BUILT, serve_page

MOST_BYTES = 150 * 1024
PARTS = re.compile(r'(?:src|href)="(/page/[^"]+)"')


async def test_the_document_names_parts_that_are_there_and_may_be_kept(http: AsyncClient) -> None:
    document = await http.get("/")
    parts = PARTS.findall(document.text)
    answers = [await http.get(each) for each in parts]

    assert document.headers["content-type"] == "text/html; charset=utf-8"
    assert document.headers["cache-control"] == "no-cache"
    assert {each.rpartition(".")[2] for each in parts} == {"js", "css", "svg", "woff2"}
    assert {each.status_code for each in answers} == {200}
    assert all("immutable" in each.headers["cache-control"] for each in answers)
    assert all(each.headers["x-content-type-options"] == "nosniff" for each in answers)


async def test_a_browser_may_run_and_fetch_nothing_but_what_this_server_sends(
    http: AsyncClient,
) -> None:
    document = await http.get("/")
    policy = document.headers["content-security-policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", document.text)


async def test_all_of_it_is_small(http: AsyncClient) -> None:
    parts = PARTS.findall((await http.get("/")).text)
    packed = [gzip.compress((await http.get(each)).content) for each in ("/", *parts)]

    assert sum(map(len, packed)) <= MOST_BYTES


async def test_it_is_packed_for_those_who_take_that(http: AsyncClient) -> None:
    script = next(each for each in PARTS.findall((await http.get("/")).text) if ".js" in each)

    packed = await http.get(script, headers={"accept-encoding": "gzip"})
    plain = await http.get(script, headers={"accept-encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "%2e%2e", "%2e%2e%2fpage.py", "..%2f__init__.py"]
)
async def test_a_name_that_was_not_built_leads_to_no_file(http: AsyncClient, name: str) -> None:
    assert (await http.get(f"/page/{name}")).status_code == 404


async def test_a_checkout_without_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    app = FastAPI()
    serve_page(app, tmp_path)
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://pool") as http:
        answer = await http.get("/")

    assert answer.status_code == 503
    assert "make page" in answer.text


async def test_the_page_asks_for_no_key_and_shows_nothing_without_one(http: AsyncClient) -> None:
    script = next(BUILT.glob("*.js")).read_text(encoding="utf-8")

    assert "localStorage" in script  # of the colours alone
    assert not re.search(r"https?://(?!www\.w3\.org)", script)
