"""The request to the pool that a dialect makes of what was sent."""

from __future__ import annotations

import pytest

from api.dialects.request.request import execution_request
from pool.errors import InvalidRequest
from pool.executions.content.turn import Turn


def test_what_does_not_fit_together_is_told_as_the_callers() -> None:
    turns = [Turn.model_validate({"role": "user", "content": "Hello"})]

    with pytest.raises(InvalidRequest, match="messages: fork_session needs the session_id"):
        execution_request({}, turns, fork_session=True)
