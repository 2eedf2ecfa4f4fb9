"""``/docs``: the OpenAPI document as a page.

The page brings one script of its own and loads the viewer's script and style from where the
framework says. Its policy allows exactly those, by address and by digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_LOADED = re.compile(r'<(script|link|img)\b[^>]*?\b(?:src|href)="(https://[^"]+)"')
_KINDS = {"script": "script-src", "link": "style-src"}


def _policy(page: str) -> str:
    digests = [hashlib.sha256(each.encode()).digest() for each in _SCRIPT.findall(page)]
    allowed = {
        "script-src": [f"'sha256-{base64.b64encode(each).decode()}'" for each in digests],
        "style-src": ["'unsafe-inline'"],  # the viewer styles its elements itself
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
    }
    for tag, address in _LOADED.findall(page):
        allowed["img-src" if address.endswith((".png", ".ico")) else _KINDS[tag]].append(address)
    directives = [f"{name} {' '.join(sources)}" for name, sources in allowed.items()]
    return "; ".join(["default-src 'none'", *directives, "frame-ancestors 'none'"])


def serve_docs(app: FastAPI, path: str = "/docs") -> None:
    """Have ``app`` answer with the page of its document."""

    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(openapi_url=str(app.openapi_url), title=app.title)
        policy = _policy(bytes(page.body).decode())
        return HTMLResponse(page.body, headers={"Content-Security-Policy": policy})

    app.add_api_route(path, docs, include_in_schema=False)
