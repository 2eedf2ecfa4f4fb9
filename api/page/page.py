"""``/`` and ``/page/*``: the built page, as files from memory.

What is served was read once at the start, by name: an address names no file on the disk. Scripts
and styles have a digest of their content in their names and may be kept for ever; the document
that names them is asked for anew each time. The policy lets a browser run and fetch nothing that
this server did not send itself: no inline script, no style in an attribute, no other host.
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request, Response

BUILT = Path(__file__).with_name("built")
DOCUMENT = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FOR_EVER = "public, max-age=31536000, immutable"
_NOT_BUILT = (
    "This checkout has no page yet: `make page` builds it. The API is described at /docs, and "
    "everything that the page shows is told there.\n"
)


@dataclass(frozen=True)
class _File:
    plain: bytes
    packed: bytes
    media_type: str


def _read(path: Path) -> _File:
    plain = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(plain, gzip.compress(plain, mtime=0), media_type)


@cache
def _read_all(built: Path) -> Mapping[str, _File]:
    """The files of a folder by name: packing them takes longer than all else of an application."""
    return {each.name: _read(each) for each in built.glob("*") if each.is_file()}


def serve_page(app: FastAPI, built: Path = BUILT) -> None:
    """Have ``app`` answer with the page that was built into a folder; without one, say how."""
    files = _read_all(built)

    async def document(request: Request) -> Response:
        if DOCUMENT not in files:
            return Response(_NOT_BUILT, status_code=503, media_type="text/plain")
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return _answer(files[DOCUMENT], request, headers)

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if name == DOCUMENT or name not in files:
            return Response(status_code=404)
        return _answer(files[name], request, {"Cache-Control": _FOR_EVER})

    app.add_route("/", document, include_in_schema=False)
    app.add_route("/page/{name}", part, include_in_schema=False)


def _answer(file: _File, request: Request, headers: dict[str, str]) -> Response:
    headers["Vary"] = "Accept-Encoding"
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, headers=headers, media_type=file.media_type)
    return Response(file.plain, headers=headers, media_type=file.media_type)
