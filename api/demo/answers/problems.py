"""Errors in Anthropic's words, so that the CLI takes them for what they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_MESSAGES = {
    400: "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits.",
    401: "invalid x-api-key",
    403: "Your account does not have access to this resource.",
    404: "Not found",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your account's rate limit. Please try again later.",
    500: "Internal server error",
    529: "Overloaded",
}


@dataclass(frozen=True)
class Problem:
    """An answer that is an error; never billed."""

    status: int
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON that Anthropic sends."""
        error = {"type": _TYPES[self.status], "message": self.message or _MESSAGES[self.status]}
        return {"type": "error", "error": error, "request_id": request_id}


def unauthorized(auth: str) -> Problem:
    """The 401 for a credential that came this way."""
    return Problem(401, "Invalid bearer token" if auth == "bearer" else "invalid x-api-key")
